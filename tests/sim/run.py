"""Run many seeds: python -m tests.sim.run --seeds 20000 --jobs 2."""

import argparse
import gc
import logging
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from sim.faults import WEIGHTS, WITH_ACTS
from sim.seeds import Result, run_seed

BATCH = 50


def run_batch(
    first: int, count: int, weights: dict[str, int] = WEIGHTS
) -> tuple[Counter[str], list[Result], int, int]:
    logging.disable(logging.CRITICAL)
    gc.set_threshold(50_000, 20, 50)
    struck: Counter[str] = Counter()
    failures = []
    asked = checked = 0
    for seed in range(first, first + count):
        result = run_seed(seed, weights)
        struck += result.struck
        asked += result.asked
        checked += result.checked
        if result.fault:
            failures.append(result)
    return struck, failures, asked, checked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show", type=int, default=1, help="how many failing seeds to print in full")
    parser.add_argument("--acts", action="store_true", help="administrators discard, stop and suspend, too")
    options = parser.parse_args()
    began = time.monotonic()
    struck: Counter[str] = Counter()
    failures: list[Result] = []
    asked = checked = 0
    firsts = range(options.first, options.first + options.seeds, BATCH)
    counts = [min(BATCH, options.first + options.seeds - first) for first in firsts]
    weights = [WITH_ACTS if options.acts else WEIGHTS] * len(firsts)
    if options.jobs == 1:
        batches = map(run_batch, firsts, counts, weights)
    else:
        batches = ProcessPoolExecutor(options.jobs).map(run_batch, firsts, counts, weights)
    for more_struck, more_failures, more_asked, more_checked in batches:
        struck += more_struck
        failures += more_failures
        asked += more_asked
        checked += more_checked
    took = time.monotonic() - began
    for result in failures[: options.show]:
        print(result)
    for fault, count in sorted(struck.items()):
        print(f"{count:10}  {fault}")
    for result in failures[:20]:
        print(f"seed {result.seed} ({result.shape}): {result.fault[:300]}")
    print(
        f"{options.seeds} seeds, {len(failures)} failed; {asked} requests, {checked} blocks checked; "
        f"{took:.1f} s, {options.seeds / took:.1f} seeds/s"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
