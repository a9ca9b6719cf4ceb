"""Arrays over real nodes and real servers: links that are cut under load, and exports that go away."""

import errno
import random
from dataclasses import replace

import pytest

from dsttool.engine.array.array import Array
from dsttool.engine.array.samples import Samples
from dsttool.engine.mapping.linear import Linear
from dsttool.engine.mapping.mirror import Mirror
from dsttool.engine.mapping.stripe import Stripe
from dsttool.engine.node.dst import DstNode
from dsttool.engine.node.memory import MemoryDevice
from dsttool.engine.transaction.policy import Policy
from dsttool.engine.vocabulary.limits import MIB, MS, SECOND
from dsttool.engine.vocabulary.operations import READ, WRITE
from support.array_bench import Store, ask, content, is_done, over, read, write
from support.array_load import AREA, Load
from support.dst_hall import POLICY, DstHall, Export
from support.faulty_device import FaultyDevice

# The budget of a member that is to be lost. Others have that of POLICY: both ends are in this process, and no
# answer comes while the machine does not let it run.
BUDGET = 1 * SECOND
SHORT = Policy(
    resend_timeout_ns=BUDGET // 4, resends=3, backoff_min_ns=2 * MS, backoff_max_ns=20 * MS, window=256
)
LAYOUTS = {"linear": Linear, "stripe": lambda sizes: Stripe(sizes, chunk=512), "mirror": Mirror}


def over_exports(
    hall: DstHall,
    layout: str,
    exports: list[Export],
    policy: Policy = POLICY,
    *,
    hasty: int | None = None,
    **options: object,
) -> Array:
    """hasty: which one has the SHORT policy instead."""
    single = layout != "mirror"
    nodes = [
        hall.node(export, SHORT if slot == hasty else policy, ordered_above=True, retain=single)
        for slot, export in enumerate(exports)
    ]
    array = over(hall.reactor, LAYOUTS[layout]([node.capabilities.size for node in nodes]), nodes, **options)
    hall.closes(array)
    return array


def be_patient(array: Array) -> None:
    for member in array.members:
        assert isinstance(member.node, DstNode)
        member.node.set_policy(POLICY)


def submitter(array: Array):
    return lambda *requests: array.submit(list(requests))


def finish(hall: DstHall, load: Load) -> None:
    hall.wait(*load.running)
    load.collect()
    load.read_all()
    hall.wait(*load.running)
    load.collect()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_links_cut_under_load_are_no_error_inside_the_budget_and_mark_nobody(layout: str) -> None:
    rng = random.Random(layout)
    with DstHall() as hall:
        exports = [hall.export(MemoryDevice(hall.reactor, 2 * AREA)) for _ in range(2)]
        array = over_exports(hall, layout, exports)
        load = Load(
            submitter(array), array.capabilities.size, rng, 2 * AREA - AREA // 2 if layout == "linear" else 0
        )
        for turn in range(150):
            if len(load.running) < 64:
                load.submit_some()
            if turn % 15 == 7:
                rng.choice(exports).cut()
            if turn % 50 == 20:
                gone = rng.choice(exports)
                gone.go_away()
                hall.reactor.call_later(20 * MS, gone.start)
            hall.pass_time(1 * MS)
            load.collect()
        finish(hall, load)
        assert array.state == "online"
        assert all(member.status()["link"]["connects"] > 1 for member in array.members)
        assert [member.errors for member in array.members] == [0, 0]


def test_a_budget_that_ends_marks_exactly_that_member_and_the_load_goes_on() -> None:
    rng = random.Random("lost")
    store = Store()
    with DstHall() as hall:
        exports = [hall.export(MemoryDevice(hall.reactor, 2 * AREA)) for _ in range(3)]
        array = over_exports(hall, "mirror", exports, hasty=1, store=store)
        load = Load(submitter(array), array.capabilities.size, rng)
        load.submit_some()
        exports[1].go_away()
        begin = hall.reactor.now
        while array.state == "online":
            if len(load.running) < 64:
                load.submit_some()
            hall.pass_time(5 * MS)
            load.collect()
        assert hall.reactor.now - begin >= BUDGET - 100 * MS
        for _ in range(20):
            load.submit_some()
            hall.pass_time(1 * MS)
        finish(hall, load)
        assert [member.state for member in array.members] == ["in_sync", "stale", "in_sync"]
        assert store.stored == [(["in_sync", "stale", "in_sync"], 1)]
        assert not [member.errors for member in array.members if member.state == "in_sync" and member.errors]


def test_a_member_that_missed_writes_catches_up_under_load_when_its_link_is_back() -> None:
    rng = random.Random("back")
    store = Store()
    with DstHall() as hall:
        devices = [MemoryDevice(hall.reactor, 2 * AREA) for _ in range(2)]
        exports = [hall.export(device) for device in devices]
        array = over_exports(hall, "mirror", exports, hasty=1, store=store)
        load = Load(submitter(array), array.capabilities.size, rng)
        exports[1].go_away()
        load.submit_some()
        hall.until(lambda: array.state == "degraded")
        for _ in range(20):
            load.submit_some()
            hall.pass_time(1 * MS)
        exports[1].start()
        while array.state != "online":
            if len(load.running) < 64:
                load.submit_some()
            hall.pass_time(1 * MS)
            load.collect()
        finish(hall, load)
        hall.until(lambda: store.stored[-1][0] == ["in_sync", "in_sync"])
        assert bytes(devices[0]._view) == bytes(devices[1]._view)


@pytest.mark.parametrize("layout", ["linear", "mirror"])
def test_power_loss_of_the_remote_machine_loses_nothing_acked(layout: str) -> None:
    """Every few steps a machine loses its power: its clients' links, and what was not flushed."""
    rng = random.Random(layout)
    with DstHall() as hall:
        devices = [FaultyDevice(hall.reactor, 2 * AREA, f"d{slot}", fast_zero=True) for slot in range(2)]
        exports = [hall.export(device) for device in devices]
        array = over_exports(hall, layout, exports)
        nodes = [member.node for member in array.members if isinstance(member.node, DstNode)]
        told: list[bool] = []
        array.on_verifier = lambda: told.append(True)
        begin = 2 * AREA - AREA // 2 if layout == "linear" else 0
        load = Load(submitter(array), array.capabilities.size, rng, begin)
        lost, due = 0, 10
        for turn in range(120):
            if len(load.running) < 64:
                load.submit_some()
            noticed = all(node.server_verifier == device.verifier for node, device in zip(nodes, devices))
            unflushed = [slot for slot in range(2) if devices[slot].bytes != devices[slot].stable]
            if turn >= due and unflushed and noticed and array.state == "online":
                due = turn + 20
                lost += 1
                victim = rng.choice(unflushed)
                exports[victim].cut()
                devices[victim].lose_power()
            hall.pass_time(1 * MS)
            load.collect()
        hall.until(lambda: array.state == "online")
        finish(hall, load)
        assert told == []
        assert lost, "nothing was lost, so nothing was tried"


def test_reads_go_to_the_other_side_at_once_while_a_link_is_down() -> None:
    with DstHall() as hall:
        exports = [hall.export(MemoryDevice(hall.reactor, MIB)) for _ in range(2)]
        array = over_exports(hall, "mirror", exports)
        data = write(0, b"x" * 100_000)
        array.submit([data])
        hall.wait(data)
        requests = [read(i * 1000, 90_000) for i in range(8)]
        array.submit(requests)
        exports[0].go_away()
        begin = hall.reactor.now
        hall.wait(*requests)
        later = read(0, 512)
        array.submit([later])
        hall.wait(later)
        assert all(
            content(request) == b"x" * request.length
            for request in (*requests, later)
            if request.offset < 10_000
        )
        assert hall.reactor.now - begin < POLICY.resend_timeout_ns


def test_a_read_with_everybody_away_is_served_by_the_first_to_come_back() -> None:
    with DstHall() as hall:
        exports = [hall.export(MemoryDevice(hall.reactor, MIB)) for _ in range(2)]
        array = over_exports(hall, "mirror", exports)
        for export in exports:
            export.go_away()
        request = read(0, 512)
        array.submit([request])
        hall.pass_time(30 * MS)
        assert not is_done(request)
        exports[1].start()
        hall.wait(request)
        assert request.error == 0


def test_a_read_with_everybody_away_fails_when_the_budget_is_over() -> None:
    with DstHall() as hall:
        exports = [hall.export(MemoryDevice(hall.reactor, MIB)) for _ in range(2)]
        array = over_exports(hall, "mirror", exports, SHORT)
        for export in exports:
            export.go_away()
        hall.until(lambda: not any(member.up for member in array.members))
        request = read(0, 512)
        begin = hall.reactor.now
        array.submit([request])
        hall.wait(request)
        assert request.error == errno.EIO
        assert hall.reactor.now - begin >= BUDGET - 100 * MS
        assert array.state == "online"


def test_a_member_slower_than_a_resend_timeout_still_answers_reads() -> None:
    with DstHall() as hall:
        slow = FaultyDevice(hall.reactor, MIB, prompt=False)
        policy = replace(SHORT, resends=79)
        array = over_exports(hall, "mirror", [hall.export(slow) for _ in range(2)], policy)
        request = read(0, 512)
        array.submit([request])
        hall.until(lambda: len(slow.waiting) == 3)  # each in its turn, then one of them once more
        hall.pass_time(BUDGET // 2)
        slow.answer()
        hall.wait(request)
        assert request.error == 0


def test_the_last_member_in_sync_is_used_again_when_it_is_back() -> None:
    with DstHall() as hall:
        exports = [hall.export(MemoryDevice(hall.reactor, MIB)) for _ in range(2)]
        array = over_exports(hall, "mirror", exports, SHORT, states=["in_sync", "stale"])
        exports[0].go_away()
        lost = write(0, b"x" * 512)
        array.submit([lost])
        hall.wait(lost)
        assert lost.error == errno.EIO
        assert [member.state for member in array.members] == ["in_sync", "stale"]
        be_patient(array)
        exports[0].start()
        again, check = write(0, b"y" * 512), read(0, 512)
        array.submit([again])
        hall.wait(again)
        array.submit([check])
        hall.wait(check)
        assert (again.error, content(check)) == (0, b"y" * 512)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_stalled_write_never_reverts_a_newer_one(layout: str) -> None:
    """The first write's budget ends while it is still under way on the server; a newer one is acked."""
    with DstHall() as hall:
        devices = [FaultyDevice(hall.reactor, MIB, f"d{slot}", prompt=False) for slot in range(2)]
        states = ["in_sync", "suspended" if layout == "mirror" else "in_sync"]
        array = over_exports(hall, layout, [hall.export(device) for device in devices], SHORT, states=states)
        stalled, newer = write(0, b"o" * 512), write(0, b"n" * 512)
        array.submit([stalled])
        hall.wait(stalled)
        assert stalled.error == errno.EIO
        be_patient(array)
        array.submit([newer])
        hall.pass_time(20 * MS)
        devices[0].answer()
        hall.until(lambda: bool(devices[0].waiting))
        devices[0].answer()
        hall.wait(newer)
        assert newer.error == 0
        assert bytes(devices[0].bytes[:512]) == b"n" * 512
        assert [op for op, _, _ in devices[0].got] == [WRITE, WRITE]


def test_errors_of_remote_devices_go_up_through_two_levels_of_exported_arrays() -> None:
    """An array of exported arrays, as a tree of daemons is, here in one process."""
    with DstHall() as hall:
        leaves = [FaultyDevice(hall.reactor, MIB, f"d{slot}") for slot in range(4)]
        mirrors = [
            over(hall.reactor, Mirror([MIB] * 2), leaves[start : start + 2], name=f"m{start}")
            for start in (0, 2)
        ]
        array = over_exports(hall, "stripe", [hall.export(mirror) for mirror in mirrors])
        data = random.Random(3).randbytes(100_000)
        first = write(1000, data)
        array.submit([first])
        hall.wait(first)
        leaves[0].fail(errno.EIO, READ)
        check = read(1000, 100_000)
        array.submit([check])
        hall.wait(check)
        assert content(check) == data
        for leaf in leaves[2:]:
            leaf.fail(errno.ENOSPC, WRITE)
        full = write(0, bytes(4096))
        array.submit([full])
        hall.wait(full)
        assert full.error == errno.ENOSPC
        assert array.state == "online"


def test_samples_are_compared_over_links() -> None:
    with DstHall() as hall:
        exports = [hall.export(MemoryDevice(hall.reactor, MIB)) for _ in range(2)]
        array = over_exports(hall, "mirror", exports)
        answers: list[object] = []
        Samples(array.algorithm, array.members, lambda *answer: answers.append(answer)).start()
        hall.until(lambda: bool(answers))
        change = ask(WRITE, MIB - 1, 1, memoryview(b"x"))
        exports[1].device.submit([change])
        Samples(array.algorithm, array.members, lambda *answer: answers.append(answer)).start()
        hall.until(lambda: len(answers) == 2)
        assert answers == [(None, None), (("n0", "n1", MIB - 4096), None)]
