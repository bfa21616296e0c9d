"""What there is to decide about: forward values that the backward may need, tiles of one taken together.

A unit is a forward operation, or all tiles of one; its results are decided about as wholes. What a unit hands
from one of its tiles to the next (a value that is written or added up tile by tile) is none of its results
but the last.
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

FORWARD_WINDOWS = 32
BACKWARD_WINDOWS = 160
SMALL_SHARE = 512
"""Results below this part of the largest value do not count against the budget; what they take together is
measured beside."""


class Result(NamedTuple):
    """Output `output` of a unit."""

    unit: int
    output: int


@dataclass(frozen=True)
class Unit:
    """`steps`: its operations, in order; `reads`: results of other units."""

    steps: tuple[int, ...]
    seconds: float
    reads: frozenset[Result]


@dataclass(frozen=True)
class Units:
    """`of_value`: the result that a forward value is a tile of."""

    all: list[Unit]
    of_value: dict[int, Result]


@dataclass(frozen=True)
class Crossing:
    """A forward value in steps of the undecided program: kept it would live in [born, dead), recomputed in
    [need, dead)."""

    value: int
    born: int
    need: int
    dead: int
    direct: bool
    """Whether an operation of the backward reads it."""
    earlier: tuple[tuple[int, int], ...]
    """(unit, step): where the unit needs the value before `need`, if it runs again."""


@dataclass
class Candidate:
    """A result to decide about. `kept` and `again`: the most bytes live of it in every window."""

    values: list[int]
    nbytes: int
    kind: Kind
    kept: np.ndarray
    again: np.ndarray
    longer: dict[int, np.ndarray]
    """What comes to `again` if a unit that reads the result runs again, for those that read many tiles of it
    before the backward does.
    """
    direct: bool
    alone: bool
    """Whether it is all that its unit gives."""
    small: bool


class Windows:
    """The step in pieces, in each of which live bytes are bounded; finer where values die."""

    def __init__(self, first_backward: int, end: int, deaths: Sequence[int]) -> None:
        steps = np.array([*deaths, first_backward, end])
        shares = np.linspace(0, 1, BACKWARD_WINDOWS)
        self.ends: np.ndarray = np.unique(
            np.concatenate(
                [
                    np.linspace(0, first_backward, FORWARD_WINDOWS + 1)[1:].astype(np.int64),
                    np.quantile(steps, shares, method="nearest").astype(np.int64),
                ]
            )
        )
        found = np.searchsorted(self.ends, np.arange(end), side="right")
        self.of_step: list[int] = np.minimum(found, len(self.ends) - 1).tolist()

    def __len__(self) -> int:
        return len(self.ends)

    def touched(self, born: int, dead: int) -> slice:
        """The windows that the lifetime [born, dead) touches."""
        return slice(self.of_step[born], self.of_step[dead - 1] + 1)

    def profile(self, lifetimes: Sequence[tuple[int, int, int]]) -> np.ndarray:
        """The most bytes live in every window, of (born, dead, bytes)."""
        change: dict[int, int] = defaultdict(int)
        for born, dead, nbytes in lifetimes:
            change[born] += nbytes
            change[dead] -= nbytes
        most = np.zeros(len(self.ends), dtype=np.int64)
        live, steps = 0, sorted(change)
        for step, following in pairwise(steps):
            live += change[step]
            where = self.touched(step, following)
            most[where] = np.maximum(most[where], live)
        return most


def find_units(program: Program) -> Units:
    """Of all forward operations, in the order of their first."""
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


def find_crossings(program: Program, units: Units) -> list[Crossing]:
    """Every forward value that the backward may need, directly or to recompute something of another unit."""
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
            handed_on = [r for r in readers[value] if units.of_value[ops[r].writes[0]].unit == own]
            if not handed_on:
                dead = max((*direct[value], *through)) + 1
                earlier = tuple(
                    (units.of_value[ops[r].writes[0]].unit, first_need[r])
                    for r in readers[value]
                    if first_need[r] < need
                )
                result.append(Crossing(value, index, need, dead, bool(direct[value]), earlier))
        first_need[index] = min(needs)
    return result[::-1]


def find_candidates(
    program: Program, units: Units, crossings: list[Crossing], windows: Windows
) -> dict[Result, Candidate]:
    """In the order of their first tile."""
    tiles: dict[Result, list[Crossing]] = defaultdict(list)
    for crossing in crossings:
        tiles[units.of_value[crossing.value]].append(crossing)
    small = max((value.nbytes for value in program.values), default=0) // SMALL_SHARE
    found = {}
    for key, members in tiles.items():
        sizes = [program.values[crossing.value].nbytes for crossing in members]
        again = windows.profile([(c.need, c.dead, size) for c, size in zip(members, sizes, strict=True)])
        found[key] = Candidate(
            [crossing.value for crossing in members],
            sum(sizes),
            program.values[members[0].value].kind,
            windows.profile([(c.born, c.dead, size) for c, size in zip(members, sizes, strict=True)]),
            again,
            _longer(members, sizes, again, windows),
            any(crossing.direct for crossing in members),
            len(program.ops[members[0].born].writes) == 1,
            sum(sizes) <= small,
        )
    return found


def _longer(
    members: list[Crossing], sizes: list[int], again: np.ndarray, windows: Windows
) -> dict[int, np.ndarray]:
    found = {}
    for unit in {unit for crossing in members for unit, _ in crossing.earlier}:
        starts = [dict(crossing.earlier).get(unit, crossing.need) for crossing in members]
        lifetimes = [(start, c.dead, size) for start, c, size in zip(starts, members, sizes, strict=True)]
        profile = windows.profile(lifetimes)
        if profile.max() > again.max():
            found[unit] = np.maximum(profile - again, 0)
    return found
