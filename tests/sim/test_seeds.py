"""Seeds: whole systems under faults, checked by a model. `pytest tests/sim --seeds N` runs more."""

import pytest

from sim.seeds import run_seed

SLICES = 8


@pytest.mark.parametrize("part", range(SLICES))
def test_no_seed_breaks_a_promise(part: int, pytestconfig: pytest.Config) -> None:
    count = int(pytestconfig.getoption("--seeds", 300))
    failures = [result for seed in range(part, count, SLICES) if (result := run_seed(seed)).fault]
    assert not failures, (
        "\n\n".join(str(result) for result in failures[:1])
        + "\n\n"
        + "\n".join(f"seed {result.seed} ({result.shape}): {result.fault}" for result in failures)
    )


def test_a_seed_is_the_same_run_every_time() -> None:
    first, second = run_seed(17), run_seed(17)
    assert (first.struck, first.asked, first.checked) == (second.struck, second.asked, second.checked)
    assert first.ended == second.ended
