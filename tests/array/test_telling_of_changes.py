"""Whoever waits for a state of the array is told of each moment at which one may have changed."""

from support.array_bench import ArrayBench, write


def states(bench: ArrayBench) -> list[str]:
    return [each["state"] for each in bench.array.status()["members"]]


def test_every_change_of_a_members_state_is_told() -> None:
    with ArrayBench() as bench:
        seen: list[list[str]] = []
        bench.array.on_change = lambda: seen.append(states(bench))
        bench.array.suspend(1, None, lambda _: None)
        bench.run(write(0, b"x" * 512))
        bench.array.resume(1, lambda _: None)
        bench.until(lambda: bench.array.state == "online")
        walked = [state for index, state in enumerate(seen) if index == 0 or seen[index - 1] != state]
        assert walked == [
            ["in_sync", "suspended"],
            ["in_sync", "stale"],
            ["in_sync", "resyncing"],
            ["in_sync", "in_sync"],
        ]


def test_a_link_that_has_come_up_is_told() -> None:
    with ArrayBench() as bench:
        told: list[None] = []
        bench.array.on_change = lambda: told.append(None)
        on_up = bench.nodes[1].on_up
        assert on_up is not None
        on_up()
        assert told


def test_nobody_has_to_listen() -> None:
    with ArrayBench() as bench:
        bench.array.changed()
        bench.run(write(0, b"x" * 512))
