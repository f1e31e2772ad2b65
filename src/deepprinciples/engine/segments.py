"""How the steps of a run are cut: into chunks that begin with a probed step, and segments that end in evaluations.

What happens in a segment is in `fit`.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Plan(NamedTuple):
    """How `steps` are cut: segments of `chunks` chunks of `every` steps.

    The last may hold more; steps past the end are not taken.

    Every `stride`-th segment ends in an evaluation, and so does the last. Where the batches of a chunk are too large
    to be held at once, `row` is its number of steps, and each segment takes a piece of `every` of them or fewer.
    """

    steps: int
    every: int
    chunks: int
    segments: int
    stride: int = 1
    row: int = 0

    @property
    def span(self) -> int:
        """Steps that fit into a segment."""
        return self.every * self.chunks

    @property
    def apart(self) -> int:
        """Steps between probed steps, one row of the log."""
        return self.row or self.every

    @property
    def pieces(self) -> int:
        """Segments that a row of the log is cut into."""
        return math.ceil(self.apart / self.every)

    def begin(self, segment: int) -> int:
        """Return the first step of a segment."""
        if self.pieces == 1:
            return segment * self.span
        return segment // self.pieces * self.apart + segment % self.pieces * self.every

    def taken(self, segment: int) -> int:
        """Return how many steps a segment takes, where the run does not end before."""
        return self.span if self.pieces == 1 else min(self.every, self.apart - self.begin(segment) % self.apart)

    def end(self, segment: int) -> int:
        """Return the number of steps done after a segment."""
        return min(self.begin(segment) + self.taken(segment), self.steps)

    def segment_of(self, step: int) -> int:
        """Return the segment that takes a step."""
        if self.pieces == 1:
            return step // self.span
        return step // self.apart * self.pieces + step % self.apart // self.every

    def probe_steps(self) -> list[int]:
        """Return the steps at which probes look, counted from 0."""
        return [c * self.apart for c in range(math.ceil(self.steps / self.apart))]

    def evaluation_steps(self) -> list[int]:
        """Return the numbers of steps done at each evaluation."""
        return [self.end(s) for s in range(self.segments) if self.evaluates(s)]

    def evaluates(self, segment: int) -> bool:
        """Check whether a segment ends in an evaluation."""
        return (segment + 1) % self.stride == 0 or segment + 1 == self.segments

    def reached(self, share: float) -> int:
        """Return the segments up to the first evaluation at which a share of the steps is done."""
        return next(s + 1 for s in range(self.segments) if self.evaluates(s) and self.end(s) >= share * self.steps)

    def shortened(self, most: int) -> Plan:
        """Cut into segments of at most `most` chunks, with evaluations where they were."""
        apart = self.chunks * self.stride
        chunks = max(n for n in range(1, min(max(most, 1), apart) + 1) if apart % n == 0)
        return self._replace(
            chunks=chunks, segments=math.ceil(math.ceil(self.steps / self.every) / chunks), stride=apart // chunks
        )

    def bounded(self, most: int) -> Plan:
        """Cut into segments of at most `most` steps, with probes and evaluations where they were."""
        if self.every <= most:
            return self if self.span <= most else self.shortened(most // self.every)
        one = self.shortened(1)
        size = math.ceil(self.every / math.ceil(self.every / most))
        pieces = math.ceil(self.every / size)
        last = math.ceil((self.steps - (one.segments - 1) * self.every) / size)
        segments = (one.segments - 1) * pieces + last
        return one._replace(every=size, row=self.every, segments=segments, stride=one.stride * pieces)


def plan(steps: int, *, probe_every: int = 0, evaluate_every: int = 0) -> Plan:
    """Cut a run into segments: 10 to 50 probed steps, one in 25 at most, and 10 evaluations, unless set."""
    every = min(probe_every or max(math.ceil(steps / 50), min(25, math.ceil(steps / 10))), steps)
    total = math.ceil(steps / every)
    chunks = min(math.ceil(evaluate_every / every), total) if evaluate_every else math.ceil(total / 10)
    return Plan(steps, every, chunks, math.ceil(total / chunks))
