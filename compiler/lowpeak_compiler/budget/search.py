"""Plans of one joint graph for a budget of resident bytes, over every variant of its lowering.

Input: a joint graph, the options, a budget. Output: the variant and plan to compile, or None; the smallest
budget.
Stages: the variants' falling plans, those of the least promising need first, prove that there is a plan
within a budget; then the planner of every variant searches for a faster one.
Invariant: the answer depends on the graph, the options and the budget. A budget is accepted if and only if it
is at least what the smallest plan needs.
What it does not do: place values. Room for gaps between them is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lowpeak_compiler.budget.devices import DeviceProfile, device
from lowpeak_compiler.budget.footprint import Footprint, footprint_of, with_gaps, without_gaps
from lowpeak_compiler.budget.targets import Target, target
from lowpeak_compiler.budget.variants import Variant, tiled, variants
from lowpeak_compiler.config import MEGABYTE, TargetOptions, TrainingOptions
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.tiling.split import CannotTile
from lowpeak_compiler.plan.measure import Plan
from lowpeak_compiler.plan.planner import Trace

Progress = Callable[[str], None]


@dataclass(frozen=True)
class VariantPlan:
    """A plan and the variant of the graph that it is for."""

    variant: Variant
    plan: Plan

    @property
    def seconds(self) -> float:
        return self.plan.seconds


@dataclass(frozen=True)
class Smallest:
    """`budget`: bytes, a whole number of megabytes, that `chosen` fits and nothing that is known fits one
    less.
    """

    budget: int
    chosen: VariantPlan


class BudgetSearch:
    """Plans of one joint graph for any budget. Several threads may ask at once."""

    def __init__(
        self, joint: TrainGraph, training: TrainingOptions, for_target: TargetOptions, progress: Progress
    ) -> None:
        self.training = training
        self.target: Target = target(for_target.target, for_target.kernels)
        self.device: DeviceProfile = device(for_target.device)
        self.progress = progress
        self._footprints: dict[int, Footprint] = {}
        self.variants: list[Variant] = variants(joint, self.target, self.device)
        self.untiled: str | None = None
        """Why the tokens are in one tile only, for a target that could have several."""
        if self.target.tiles:
            try:
                self.variants += tiled(self.variants[-1])
            except CannotTile as refused:
                self.untiled = str(refused)
                progress(f"tokens stay in one tile: {refused}")
        self._falling: Trace[VariantPlan] = Trace(self._ever_smaller())

    def footprint(self, variant: Variant, arena: int, operations: int) -> Footprint:
        """Of a plan of the variant."""
        if id(variant) not in self._footprints:
            first = footprint_of(variant.graph, self.target, self.training.optimizer, arena, operations)
            self._footprints[id(variant)] = first
        return self._footprints[id(variant)].with_program(self.target, arena, operations)

    def plan(self, budget: int) -> VariantPlan | None:
        """The fastest plan of all variants whose resident bytes are at most `budget`, with room for gaps;
        None below the smallest budget.
        """
        known = self._falling.first(lambda found: self._needed(found) <= budget)
        if known is None:
            return None
        room = self._room(known.variant, budget)
        best = VariantPlan(known.variant, known.variant.planner.prefetched(known.plan, room))
        fastest = self.variants[0].planner.fastest().seconds
        for number, variant in enumerate(self.variants, 1):
            self.progress(f"planning memory, form {number} of {len(self.variants)}")
            if best.seconds <= fastest or variant.planner.fastest().seconds >= best.seconds:
                continue
            room = self._room(variant, budget)
            if variant.planner.least_bytes > room:
                continue
            found = (VariantPlan(variant, plan) for plan in variant.planner.searched(room))
            best = min((best, *found), key=lambda each: each.seconds)
        return best

    def enough(self) -> int:
        """A budget in bytes from which on no plan is faster."""
        fastest = min(self.variants, key=lambda variant: variant.planner.fastest().seconds)
        return self._needed(VariantPlan(fastest, fastest.planner.fastest()))

    def minimum(self) -> Smallest:
        """The smallest budget that has a plan, and that plan."""
        *_, smallest = self._falling
        return Smallest(-(-self._needed(smallest) // MEGABYTE) * MEGABYTE, smallest)

    def _ever_smaller(self) -> Iterator[VariantPlan]:
        """Plans that need fewer and fewer resident bytes, of all variants."""
        widest = self.variants[0]
        best = VariantPlan(widest, widest.planner.fastest())
        yield best
        least = {id(v): self._fixed(v) + with_gaps(v.planner.least_bytes) for v in self.variants}
        for variant in sorted(self.variants, key=lambda variant: least[id(variant)]):
            if least[id(variant)] >= self._needed(best):
                continue
            self.progress(f"searching the smallest budget: at most {self._needed(best) / MEGABYTE:.0f} MB")
            for plan in variant.planner.falling:
                candidate = VariantPlan(variant, plan)
                if self._needed(candidate) < self._needed(best):
                    best = candidate
                    yield best

    def _needed(self, candidate: VariantPlan) -> int:
        """The smallest budget that the plan fits."""
        return self._fixed(candidate.variant) + with_gaps(candidate.plan.needed_bytes)

    def _room(self, variant: Variant, budget: int) -> int:
        """What the budget leaves for the planner of the variant."""
        return without_gaps(budget - self._fixed(variant))

    def _fixed(self, variant: Variant) -> int:
        """Resident bytes that no plan changes."""
        return self.footprint(variant, 0, 0).beside_arena
