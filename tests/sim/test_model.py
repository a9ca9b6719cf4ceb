"""The model itself: what it must let pass, and what it must not."""

import pytest

from dsttool.engine.device.request import Request
from dsttool.engine.vocabulary.operations import FLUSH, FUA, READ, TRIM, WRITE
from sim.block import BLOCK, Violation, content
from sim.model import Model, Op


class Story:
    """A client of a device of four blocks, told step by step."""

    def __init__(self, *, reports: bool = True, retains: bool = True) -> None:
        self.lost_at = 0
        self.model = Model(4, lambda: self.lost_at, reports=reports, settles=True, retains=retains)

    def ask(self, op: int, block: int = 0, stamp: int = 0, flags: int = 0) -> Op:
        length = 0 if op == FLUSH else BLOCK
        made = Op(stamp, Request(op, flags, block * BLOCK, length, None, None, list))
        self.model.begin(made)
        return made

    def end(self, op: Op, error: int = 0) -> None:
        op.request.error = error
        self.model.end(op)

    def write(self, stamp: int, *, flags: int = 0, error: int = 0) -> None:
        self.end(self.ask(WRITE, stamp=stamp, flags=flags), error)

    def flush(self, error: int = 0) -> None:
        self.end(self.ask(FLUSH), error)

    def brings(self, read: Op, stamp: int) -> None:
        read.request.data = memoryview(content(stamp, 0))
        self.end(read)

    def read(self, stamp: int) -> None:
        self.brings(self.ask(READ), stamp)

    def refuses(self, stamp: int) -> None:
        with pytest.raises(Violation):
            self.read(stamp)

    def storage_loses(self) -> None:
        self.lost_at = self.model.tick()
        self.model.lost()


def test_an_acked_write_is_read() -> None:
    story = Story()
    story.write(1)
    story.read(1)
    story.refuses(0)


def test_a_write_under_way_may_be_seen_or_not() -> None:
    story = Story()
    write = story.ask(WRITE, stamp=1)
    story.read(0)
    story.read(1)
    story.read(0)
    story.end(write)
    story.refuses(0)


def test_a_read_may_bring_what_was_there_when_it_began() -> None:
    story = Story()
    read = story.ask(READ)
    story.write(1)
    story.brings(read, 0)


def test_a_write_that_failed_may_be_seen_until_another_is_acked() -> None:
    story = Story()
    story.write(1, error=5)
    story.read(0)
    story.read(1)
    story.write(2)
    story.refuses(1)


def test_what_nobody_wrote_is_not_read() -> None:
    story = Story()
    story.refuses(7)


def test_a_torn_block_is_not_read() -> None:
    story = Story()
    write = story.ask(WRITE, stamp=1)
    read = story.ask(READ)
    read.request.data = memoryview(content(1, 0)[:256] + content(0, 0)[256:])
    with pytest.raises(Violation):
        story.end(read)
    story.end(write)


def test_an_answer_that_comes_twice_is_noticed() -> None:
    story = Story()
    write = story.ask(WRITE, stamp=1)
    story.end(write)
    with pytest.raises(Violation):
        story.end(write)


@pytest.mark.parametrize("seen", [0, 1])
def test_the_first_read_after_a_death_settles_what_was_under_way(seen: int) -> None:
    story = Story()
    story.ask(WRITE, stamp=1)
    story.model.die()
    story.read(seen)
    story.refuses(1 - seen)


def test_a_death_alone_loses_nothing_acked() -> None:
    story = Story()
    story.write(1)
    story.model.die()
    story.refuses(0)


def test_a_loss_that_the_living_can_repair_is_none() -> None:
    story = Story()
    story.write(1)
    story.storage_loses()
    story.refuses(0)


def test_a_loss_that_nobody_can_repair_may_lose_what_was_not_flushed() -> None:
    story = Story(retains=False)
    story.write(1)
    story.storage_loses()
    story.read(0)


@pytest.mark.parametrize("death_first", [True, False])
def test_a_loss_and_a_death_may_lose_what_was_not_flushed(death_first: bool) -> None:
    story = Story()
    story.write(1)
    steps = [story.model.die, story.storage_loses]
    for step in steps if death_first else reversed(steps):
        step()
    story.read(0)


@pytest.mark.parametrize("flags", [0, FUA])
def test_what_was_flushed_is_never_lost(flags: int) -> None:
    story = Story()
    story.write(1, flags=flags)
    if not flags:
        story.flush()
    story.model.die()
    story.storage_loses()
    story.refuses(0)


def test_a_flush_does_not_cover_what_was_acked_after_it_was_sent() -> None:
    story = Story()
    flush = story.ask(FLUSH)
    story.write(1)
    story.end(flush)
    story.model.die()
    story.storage_loses()
    story.read(0)


def test_a_flush_that_failed_covers_nothing() -> None:
    story = Story()
    story.write(1)
    story.storage_loses()
    story.flush(error=5)
    story.read(0)


def test_what_a_failed_flush_left_in_doubt_is_made_certain_by_none_that_leaves_out_what_came_since() -> None:
    story = Story()
    story.write(1)
    story.write(2)
    story.storage_loses()
    story.flush(error=5)
    flush = story.ask(FLUSH)
    story.write(3)
    story.end(flush)
    story.model.die()
    story.storage_loses()
    story.read(1)


def lose_something(story: Story) -> None:
    story.write(1)
    story.model.die()
    story.storage_loses()
    story.read(0)


def test_a_loss_must_be_reported_by_a_flush() -> None:
    story = Story()
    lose_something(story)
    with pytest.raises(Violation):
        story.flush()


def test_a_loss_that_was_reported_is_over() -> None:
    story = Story()
    lose_something(story)
    story.flush(error=5)
    story.flush()
    story.read(0)
    story.refuses(1)


def test_who_promises_no_report_owes_none() -> None:
    story = Story(reports=False)
    lose_something(story)
    story.flush()


def test_a_late_ack_of_what_a_read_has_denied_is_noticed() -> None:
    story = Story()
    write = story.ask(WRITE, stamp=1)
    story.model.die()
    story.read(0)
    with pytest.raises(Violation):
        story.end(write)


def test_a_late_ack_of_what_really_happened_is_right() -> None:
    story = Story()
    write = story.ask(WRITE, stamp=1)
    story.model.die()
    story.read(1)
    story.end(write)
    story.read(1)


# -- trims that may have been left undone -----------------------------------------------------------------


class Copies(Story):
    """As a mirror is followed."""

    def __init__(self, *, alike: bool = True) -> None:
        super().__init__()
        self.model = Model(
            4,
            lambda: self.lost_at,
            reports=True,
            settles=True,
            retains=False,
            leaves=True,
            alike=alike,
        )

    def trim(self, error: int = 0, flags: int = 0) -> None:
        self.end(self.ask(TRIM, flags=flags), error)


@pytest.mark.parametrize("stamp", [0, 1])
def test_a_trim_is_done_or_left_undone_and_stays_so(stamp: int) -> None:
    story = Copies()
    story.write(1)
    story.trim()
    story.read(stamp)
    story.refuses(1 - stamp)
    story.read(stamp)


def test_a_trim_leaves_only_what_was_there_last() -> None:
    story = Copies()
    story.write(1)
    story.write(2)
    story.trim()
    story.refuses(1)
    story.read(2)
    story.trim()
    story.trim()
    story.read(2)
    story.refuses(0)


def test_a_read_that_began_before_a_trim_had_ended_settles_nothing() -> None:
    story = Copies()
    story.write(1)
    trim = story.ask(TRIM)
    reading = story.ask(READ)
    story.end(trim)
    story.brings(reading, 1)
    story.read(0)
    story.refuses(1)


def test_a_write_ends_all_that_a_trim_may_have_left() -> None:
    story = Copies()
    story.write(1)
    story.trim()
    story.write(2)
    story.refuses(0)
    story.refuses(1)
    story.read(2)


def test_a_trim_with_fua_that_was_left_undone_keeps_nothing_that_was_not_flushed() -> None:
    story = Copies()
    story.write(1)
    story.write(2)
    story.trim(flags=FUA)
    story.model.die()
    story.storage_loses()
    story.read(1)


def test_where_no_copies_are_kept_a_trim_with_fua_is_never_lost() -> None:
    story = Story()
    story.write(1)
    story.end(story.ask(TRIM, flags=FUA))
    story.model.die()
    story.storage_loses()
    story.refuses(1)
    story.read(0)


def test_where_no_copies_are_kept_a_trim_reads_as_zeroes() -> None:
    story = Story()
    story.write(1)
    story.end(story.ask(TRIM))
    story.refuses(1)
    story.read(0)


def test_beyond_an_array_between_either_may_be_read_at_any_time() -> None:
    story = Copies(alike=False)
    story.write(1)
    story.trim()
    for stamp in (1, 0, 1):
        story.read(stamp)
