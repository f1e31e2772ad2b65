"""Choose which tests `make test` leaves to `make long`: those that take long and cover few lines that others do not.

    pytest tests --cov=deepprinciples --cov-context=test --durations=0 --durations-min=0 -vv > durations.txt
    python tests/choose_slow.py durations.txt

Reads `.coverage` and the durations, and writes `tests/slow.txt`. Quick tests stay. Of the others those stay that add
at least a line of coverage a second to what is covered already, the cheapest ones first.
"""

import re
import sqlite3
import sys
from collections import defaultdict
from pathlib import Path

from coverage.numbits import numbits_to_nums

HERE = Path(__file__).parent
QUICK = 0.12  # seconds
RATE = 1.0  # lines that no quicker test covers, a second
KEPT = re.compile(r"test_promises|test_untrusted|test_docs|test_afternoon|test_scripts")  # what is promised to users


def main(durations: str) -> None:
    """Write the list."""
    seconds: dict[str, float] = defaultdict(float)
    for line in Path(durations).read_text().splitlines():
        if match := re.match(r"\s*([\d.]+)s (?:call|setup|teardown)\s+(\S.*)", line):
            seconds[match[2]] += float(match[1])
    data = sqlite3.connect(HERE.parent / ".coverage")
    names = dict(data.execute("select id, context from context"))
    lines: dict[str, set[tuple[int, int]]] = defaultdict(set)
    for context, file, bits in data.execute("select context_id, file_id, numbits from line_bits"):
        test = names[context].partition("|")[0]
        lines[test] |= {(file, number) for number in numbits_to_nums(bits)}
    every = set().union(*lines.values())
    quick = {test for test in lines if seconds[test] <= QUICK or KEPT.search(test)}
    covered = set().union(*(lines[test] for test in quick))
    left, needed = {test: lines[test] - covered for test in lines if test not in quick}, set()
    rate = lambda test: len(left[test]) / seconds[test]
    while left and rate(best := max(left, key=rate)) >= RATE:
        needed.add(best)
        covered |= left.pop(best)
        left = {test: rest - covered for test, rest in left.items()}
    slow = sorted(test for test in lines if test not in quick | needed)
    (HERE / "slow.txt").write_text("".join(f"{test}\n" for test in slow))
    kept = sum(seconds[test] for test in quick | needed)
    lost, slow_seconds = len(every - covered), sum(seconds[test] for test in slow)
    print(f"{len(every)} lines, {lost} of them left out")
    print(f"{len(slow)} tests are slow ({slow_seconds:.0f} s), {kept:.0f} s stay")
    print(f"{len(needed)} of those that stay are not quick: {sum(seconds[test] for test in needed):.0f} s")


if __name__ == "__main__":
    main(sys.argv[1])
