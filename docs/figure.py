"""Draws docs/memory.svg: what a training step of the demo model holds over time, without and with a budget.

    python -m docs.figure [--budget-mb 400] [--seq-len 512]

All numbers are the planner's: live bytes of every operation by kind of value, and the parts beside the arena.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import groupby, pairwise
from pathlib import Path

from lowpeak.api import DEMO, open_intake
from lowpeak_artifact.kind import Kind
from lowpeak_compiler.budget.footprint import footprint_of
from lowpeak_compiler.budget.search import BudgetSearch, VariantPlan
from lowpeak_compiler.config import MEGABYTE, Budget, TargetOptions, TrainingOptions
from lowpeak_compiler.pipeline import budget_search
from lowpeak_compiler.plan.liveness import live_ranges
from lowpeak_compiler.plan.program import Program

PICTURE = Path(__file__).with_name("memory.svg")
COLUMNS = 200
PANEL_WIDTH, PANEL_HEIGHT, LEFT, TOP, GAP = 400, 260, 56, 64, 28
KINDS = {
    "weights file": "#4c566a",
    "optimizer state": "#8fa1b3",
    "runtime": "#c0c5ce",
    "adapter and gradients": "#2e7d6b",
    "dequantized weights": "#e0a030",
    "activations": "#b5483a",
}
ARENA = {
    Kind.ADAPTER: "adapter and gradients",
    Kind.GRADIENT: "adapter and gradients",
    Kind.WEIGHT: "dequantized weights",
}
"""Batch and loss are small; they count as activations."""

Bands = dict[str, list[int]]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget-mb", type=float, default=400)
    parser.add_argument("--seq-len", type=int, default=512)
    given = parser.parse_args()
    training, budget = TrainingOptions(given.seq_len), Budget(given.budget_mb)
    planning = budget_search(open_intake(DEMO, training), training, TargetOptions(), progress=print)
    widest = planning.variants[0]
    kept = bands(planning, VariantPlan(widest, widest.planner.fastest()))
    chosen = planning.plan(budget.nbytes)
    if chosen is None:
        raise SystemExit(f"no plan within {given.budget_mb:g} MB")
    planned = bands(planning, chosen)
    titles = ("everything kept for the backward", f"planned for {given.budget_mb:g} MB")
    panels = [(title, found) for title, found in zip(titles, (kept, planned), strict=True)]
    for title, found in panels:
        print(f"{title}: {peak(found) / 1e6:.1f} MB")
    PICTURE.write_text(picture(panels, training, budget), encoding="utf-8")


def bands(planning: BudgetSearch, found: VariantPlan) -> Bands:
    """Bytes by kind in each of COLUMNS shares of the step, at the share's largest operation."""
    program = found.plan.program
    operations = len(program.ops)
    fixed = footprint_of(found.variant.graph, planning.target, planning.training.optimizer, 0, operations)
    beside = {
        "weights file": fixed.weights,
        "optimizer state": fixed.optimizer,
        "runtime": fixed.runtime + fixed.code,
    }
    steps = live_by_kind(program)
    bounds = [i * operations // COLUMNS for i in range(COLUMNS + 1)]
    worst = [max(range(a, b), key=lambda i: sum(s[i] for s in steps.values())) for a, b in pairwise(bounds)]
    arena = {name: [values[i] for i in worst] for name, values in steps.items()}
    return {name: [beside[name]] * COLUMNS if name in beside else arena[name] for name in KINDS}


def live_by_kind(program: Program) -> Bands:
    live = live_ranges(program)
    change = {name: [0] * (len(program.ops) + 1) for name in KINDS}
    for index, value in enumerate(program.values):
        lower, upper = live.lower[index], live.upper[index]
        if upper > lower:
            name = ARENA.get(value.kind, "activations")
            # What takes over an operand in place adds nothing at the step where both are live.
            start = lower + (live.buffer[index] != index)
            change[name][start] += value.nbytes
            change[name][upper] -= value.nbytes
    return {name: _running(deltas[:-1]) for name, deltas in change.items()}


def _running(deltas: Iterable[int]) -> list[int]:
    total, result = 0, []
    for delta in deltas:
        total += delta
        result.append(total)
    return result


def peak(found: Bands) -> int:
    return max(map(sum, zip(*found.values(), strict=True)))


def picture(panels: list[tuple[str, Bands]], training: TrainingOptions, budget: Budget) -> str:
    top = max(peak(found) for _, found in panels) * 1.05
    width = LEFT + len(panels) * (PANEL_WIDTH + GAP)
    height = TOP + PANEL_HEIGHT + 84
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="system-ui, sans-serif" font-size="13" fill="#222">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="24" font-size="15">Memory of one training step, SmolLM2-135M + LoRA r=16, '
        f"{training.seq_len} tokens</text>",
    ]
    for position, (title, found) in enumerate(panels):
        left = LEFT + position * (PANEL_WIDTH + GAP)
        parts.append(f'<text x="{left}" y="{TOP - 12}">{title}: peak {peak(found) / 1e6:.0f} MB</text>')
        parts += _areas(found, left, top)
        parts += _axis(left, top, position == 0)
        line = _height(budget.nbytes, top)
        parts.append(
            f'<path d="M{left} {line:.1f}h{PANEL_WIDTH}" stroke="#222" stroke-dasharray="5 4" fill="none"/>'
        )
    base = TOP + PANEL_HEIGHT
    parts.append(f'<text x="{LEFT}" y="{base + 20}">forward, then backward: operations in order</text>')
    for index, (name, color) in enumerate(KINDS.items()):
        x = LEFT + index % 3 * 220
        y = base + 46 + index // 3 * 20
        parts.append(f'<rect x="{x}" y="{y - 11}" width="12" height="12" fill="{color}"/>')
        parts.append(f'<text x="{x + 18}" y="{y}">{name}</text>')
    parts.append(f'<text x="{LEFT + 660}" y="{base + 46}">- - budget {budget.megabytes:g} MB</text>')
    return "\n".join([*parts, "</svg>\n"])


def _height(nbytes: float, top: float) -> float:
    return TOP + PANEL_HEIGHT * (1 - nbytes / top)


def _areas(found: Bands, left: int, top: float) -> list[str]:
    below = [0] * COLUMNS
    parts = []
    step = PANEL_WIDTH / COLUMNS
    for name, values in found.items():
        above = [low + value for low, value in zip(below, values, strict=True)]
        upper = "".join(f"V{y}h{n * step:.2f}" for y, n in _runs(above, top))
        lower = "".join(f"V{y}h-{n * step:.2f}" for y, n in _runs(below[::-1], top))
        start = f"M{left} {_height(below[0], top):.1f}"
        parts.append(f'<path d="{start}{upper}{lower}Z" fill="{KINDS[name]}"/>')
        below = above
    return parts


def _runs(values: list[int], top: float) -> list[tuple[str, int]]:
    """Heights, and how many columns in a row have each."""
    return [(y, len(list(run))) for y, run in groupby(f"{_height(value, top):.0f}" for value in values)]


def _axis(left: int, top: float, labelled: bool) -> list[str]:
    parts = [f'<path d="M{left} {TOP}v{PANEL_HEIGHT}h{PANEL_WIDTH}" stroke="#222" fill="none"/>']
    for mark in range(0, int(top / MEGABYTE) + 1, 200):
        y = _height(mark * MEGABYTE, top)
        parts.append(f'<path d="M{left - 4} {y:.1f}h4" stroke="#222"/>')
        if labelled:
            parts.append(f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{mark}</text>')
    if labelled:
        parts.append(f'<text x="{left - 8}" y="{TOP - 2}" text-anchor="end">MB</text>')
    return parts


if __name__ == "__main__":
    main()
