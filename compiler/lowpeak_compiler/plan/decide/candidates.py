"""Candidates for a decision: results of forward operations that the backward may need.

A unit is a forward operation, or all tiles of one; each of its results is decided about as a whole. Of a
value that is written or accumulated tile by tile only the last version is a result.

Input: the baseline program. Output: units, candidates with their bytes in every time bucket.
Stages: units (find_units), saved tensors with their live ranges (find_saved_tensors), candidates
(find_candidates).
Invariant: a profile of a time bucket is at least the live bytes at each of its steps.
What it does not do: choose (decide.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from lowpeak_artifact.kind import Kind
from lowpeak_compiler.plan.program import Program

FORWARD_BUCKETS = 32
BACKWARD_BUCKETS = 160
SMALL_SHARE = 512
"""Results smaller than the largest value by this factor are left out of the profiles; their bytes are
measured with all that is not decided about.
"""


class Result(NamedTuple):
    """Output `output` of a unit."""

    unit: int
    output: int


@dataclass(frozen=True)
class Unit:
    """`steps`: its operations, in order; `reads`: the results of other units that these read."""

    steps: tuple[int, ...]
    seconds: float
    reads: frozenset[Result]


@dataclass(frozen=True)
class Units:
    """`of_value`: for every forward value the result that it is, or is a tile of."""

    all: list[Unit]
    of_value: dict[int, Result]


@dataclass(frozen=True)
class SavedTensor:
    """A forward value that the backward may need. In steps of the baseline program its live range is
    [defined, dead) if it is kept, and [needed, dead) if it is recomputed or loaded.
    """

    value: int
    defined: int
    needed: int
    dead: int
    direct: bool
    """Whether an operation of the backward reads it."""
    earlier: tuple[tuple[int, int], ...]
    """(unit, step) for units that, if recomputed, need the value at that step before `needed`."""


@dataclass
class Candidate:
    """A result to decide about. `kept`, `recomputed`: its most live bytes in every time bucket, if it is
    kept, or recomputed or loaded.
    """

    values: list[int]
    nbytes: int
    kind: Kind
    kept: np.ndarray
    recomputed: np.ndarray
    extension: dict[int, np.ndarray]
    """By unit: what is added to `recomputed` if the unit is recomputed, too, and thereby reads tiles of the
    result before the backward does.
    """
    direct: bool
    sole_output: bool
    """Whether its unit has no other result."""
    small: bool


class TimeBuckets:
    """The step in time buckets, in each of which live bytes are bounded; finer where values die."""

    def __init__(self, first_backward: int, end: int, deaths: Sequence[int]) -> None:
        steps = np.array([*deaths, first_backward, end])
        shares = np.linspace(0, 1, BACKWARD_BUCKETS)
        self.ends: np.ndarray = np.unique(
            np.concatenate(
                [
                    np.linspace(0, first_backward, FORWARD_BUCKETS + 1)[1:].astype(np.int64),
                    np.quantile(steps, shares, method="nearest").astype(np.int64),
                ]
            )
        )
        bucket = np.searchsorted(self.ends, np.arange(end), side="right")
        self.of_step: list[int] = np.minimum(bucket, len(self.ends) - 1).tolist()

    def __len__(self) -> int:
        return len(self.ends)

    def overlapping(self, start: int, end: int) -> slice:
        """The buckets that overlap the steps [start, end)."""
        return slice(self.of_step[start], self.of_step[end - 1] + 1)

    def profile(self, live_ranges: Sequence[tuple[int, int, int]]) -> np.ndarray:
        """The most live bytes in every bucket, of live ranges (start, end, bytes)."""
        change: dict[int, int] = defaultdict(int)
        for start, end, nbytes in live_ranges:
            change[start] += nbytes
            change[end] -= nbytes
        most = np.zeros(len(self.ends), dtype=np.int64)
        live, steps = 0, sorted(change)
        for step, following in pairwise(steps):
            live += change[step]
            where = self.overlapping(step, following)
            most[where] = np.maximum(most[where], live)
        return most


def find_units(program: Program) -> Units:
    """The units of all forward operations, ordered by their first operation."""
    steps: dict[str, list[int]] = defaultdict(list)
    for step, op in enumerate(program.ops):
        if op.forward:
            steps[op.tile_of or op.name].append(step)
    of_value = {
        value: Result(unit, output)
        for unit, members in enumerate(steps.values())
        for step in members
        for output, value in enumerate(program.ops[step].writes)
    }
    units = []
    for unit, members in enumerate(steps.values()):
        reads = {of_value[v] for step in members for v in program.ops[step].reads if v in of_value}
        seconds = sum(program.ops[step].seconds for step in members)
        units.append(Unit(tuple(members), seconds, frozenset(r for r in reads if r.unit != unit)))
    return Units(units, of_value)


def find_saved_tensors(program: Program, units: Units) -> list[SavedTensor]:
    """The forward values that the backward may need, directly or to recompute a result of another unit."""
    ops = program.ops
    direct: dict[int, list[int]] = defaultdict(list)
    readers: dict[int, list[int]] = defaultdict(list)
    for step, op in enumerate(ops):
        for value in op.reads:
            if value in units.of_value:
                (readers if op.forward else direct)[value].append(step)
    never = len(ops)
    first_need: dict[int, int] = {}
    result = []
    for index in reversed(range(len(ops))):
        if not ops[index].forward:
            continue
        needs = [never]
        for value in ops[index].writes:
            through = [first_need[r] for r in readers[value] if first_need[r] < never]
            if not direct[value] and not through:
                continue
            need = min(direct[value] or through)
            needs.append(need)
            own = units.of_value[value].unit
            # Of a value that the next tile of the unit accumulates to, only the last version is a result.
            accumulated = [r for r in readers[value] if units.of_value[ops[r].writes[0]].unit == own]
            if not accumulated:
                dead = max((*direct[value], *through)) + 1
                earlier = tuple(
                    (units.of_value[ops[r].writes[0]].unit, first_need[r])
                    for r in readers[value]
                    if first_need[r] < need
                )
                result.append(SavedTensor(value, index, need, dead, bool(direct[value]), earlier))
        first_need[index] = min(needs)
    return result[::-1]


def find_candidates(
    program: Program, units: Units, saved: list[SavedTensor], buckets: TimeBuckets
) -> dict[Result, Candidate]:
    """Candidates by result, ordered by their first tile."""
    tiles: dict[Result, list[SavedTensor]] = defaultdict(list)
    for tensor in saved:
        tiles[units.of_value[tensor.value]].append(tensor)
    small = max((value.nbytes for value in program.values), default=0) // SMALL_SHARE
    candidates = {}
    for key, members in tiles.items():
        sizes = [program.values[tensor.value].nbytes for tensor in members]
        sized = list(zip(members, sizes, strict=True))
        recomputed = buckets.profile([(tensor.needed, tensor.dead, size) for tensor, size in sized])
        candidates[key] = Candidate(
            [tensor.value for tensor in members],
            sum(sizes),
            program.values[members[0].value].kind,
            buckets.profile([(tensor.defined, tensor.dead, size) for tensor, size in sized]),
            recomputed,
            _extensions(members, sizes, recomputed, buckets),
            any(tensor.direct for tensor in members),
            len(program.ops[members[0].defined].writes) == 1,
            sum(sizes) <= small,
        )
    return candidates


def _extensions(
    members: list[SavedTensor], sizes: list[int], recomputed: np.ndarray, buckets: TimeBuckets
) -> dict[int, np.ndarray]:
    extensions = {}
    for unit in {unit for tensor in members for unit, _ in tensor.earlier}:
        starts = [dict(tensor.earlier).get(unit, tensor.needed) for tensor in members]
        live_ranges = [(start, c.dead, size) for start, c, size in zip(starts, members, sizes, strict=True)]
        profile = buckets.profile(live_ranges)
        if profile.max() > recomputed.max():
            extensions[unit] = np.maximum(profile - recomputed, 0)
    return extensions
