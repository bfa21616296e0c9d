"""Table 1 of arXiv 2606.19528, planned from configs alone, and what comes after its last row.

    python -m benchmarks.table1 [--models llama-3.2-3b,qwen2.5-3b] [--tokens 1024,2048] [--brief]
        [--measure FOLDER]

One forward and backward of float32 arithmetic, batch 1, LoRA of rank 16 on all linear layers, and room for
the state of AdamW. Each row has the techniques of those above it, up to the paper's last: a softmax over
1000 words, for 30 % of the tokens. Then the exact loss takes the approximation's place, with the library's
own kernels: `+exact loss` computes it from the quantized head without logits; `+tiling` has the tokens in
tiles; `+streaming` keeps in a file what waits (weights, adapter, gradients, activations), within a budget
that is given for the length. GB of 10**9 bytes, seconds on the device profile `generic-phone`; `full` is
derived: what LoRA takes, and a gradient for each weight. --brief leaves out all but the last row. --measure
compiles the last row, and runs a step in a fresh process under a hard limit of the budget.
benchmarks/rivals.py does the same in the set-up of others.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.measure import measure_model
from benchmarks.published import PAPER
from lowpeak.api import open_intake
from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.footprint import footprint_of
from lowpeak_compiler.budget.search import BudgetSearch
from lowpeak_compiler.budget.targets import EXECUTORCH_LOWPEAK
from lowpeak_compiler.budget.variants import Variant, tiled, variants
from lowpeak_compiler.config import Budget, Loss, OptimizerName, TargetOptions, TrainingOptions
from lowpeak_compiler.estimate import LORA, estimate, smallest_plan
from lowpeak_compiler.ir.graph import Frozen, TrainGraph
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.pipeline import build_joint

MODELS = ("llama-3.2-3b", "qwen2.5-3b", "qwen2.5-0.5b")
BUDGETS = {256: 200, 512: 200, 1024: 256, 2048: 300, 4096: 400, 8192: 600, 16384: 1000}
"""Megabytes by tokens."""
COLUMNS = ("technique", "peak GB", "the paper's", "s a step", "planned in")
RESIDENT = replace(EXECUTORCH_LOWPEAK, offload=False, pages=False)
"""Our kernels without streaming."""


@dataclass(frozen=True)
class Row:
    """Bytes and seconds of a step; `planning_seconds` is what finding the plan took here."""

    technique: str
    peak_bytes: int
    step_seconds: float
    planning_seconds: float


def options_of(tokens: int, kernels: str) -> tuple[TrainingOptions, TargetOptions]:
    loss: Loss = "exact" if kernels == "lowpeak" else "subset"
    return TrainingOptions(tokens, loss=loss, trainable_ratio=0.3), TargetOptions(kernels=kernels)


def budget_of(tokens: int) -> Budget:
    return Budget(BUDGETS.get(tokens, 1000))


def papers_rows(model: str, tokens: int) -> Iterator[Row]:
    """Full fine-tuning, LoRA, quantization, recomputation, chunked loss, softmax approximation, masking."""
    training, for_target = options_of(tokens, "stock")
    started = time.monotonic()
    intake = open_intake(f"config:{model}", training)
    rows = estimate(intake, training, for_target)
    each = (time.monotonic() - started) / len(rows)
    unquantized = replace(training, quantization="none")
    dense = dense_weight_bytes(build_joint(intake, unquantized, for_target, Runner())[0])
    for row in rows:
        if row.technique == LORA:
            yield Row("full", row.peak_bytes + dense, row.step_seconds, 0.0)
        yield Row(row.technique, row.peak_bytes, row.step_seconds, each)


def dense_weight_bytes(joint: TrainGraph) -> int:
    return sum(node.meta["val"].numel() * 4 for node, role in joint.inputs() if isinstance(role, Frozen))


def our_rows(model: str, tokens: int, brief: bool) -> Iterator[Row]:
    """The exact loss, tiling, streaming."""
    training, for_target = options_of(tokens, "lowpeak")
    started = time.monotonic()
    joint, _ = build_joint(open_intake(f"config:{model}", training), training, for_target, Runner())
    if not brief:
        whole = variants(joint, RESIDENT, device(for_target.device))[-1]
        yield smallest("+exact loss", whole, training.optimizer)
        yield smallest("+tiling", tiled(whole)[-1], training.optimizer)
        started = time.monotonic()
    yield within_budget(joint, training, for_target, budget_of(tokens), started)


def within_budget(
    joint: TrainGraph, training: TrainingOptions, for_target: TargetOptions, budget: Budget, started: float
) -> Row:
    technique = f"+streaming, {budget.megabytes:g} MB"
    planning = BudgetSearch(joint, training, for_target, lambda _: None)
    chosen = planning.plan(budget.nbytes)
    if chosen is None:
        return Row(f"{technique}: no plan", 0, 0.0, time.monotonic() - started)
    plan = chosen.plan
    footprint = planning.footprint(chosen.variant, plan.peak_bytes, len(plan.program.ops))
    return Row(technique, footprint.total, plan.seconds, time.monotonic() - started)


def smallest(technique: str, of: Variant, optimizer: OptimizerName) -> Row:
    started = time.monotonic()
    plan = smallest_plan(of.planner)
    footprint = footprint_of(of.graph, of.target, optimizer, plan.peak_bytes, len(plan.program.ops))
    return Row(technique, footprint.total, plan.seconds, time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--tokens", default=",".join(map(str, BUDGETS)))
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--measure", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    console = Console()
    for model in options.models.split(","):
        for tokens in map(int, options.tokens.split(",")):
            table = Table(*COLUMNS, title=f"{model}, {tokens} tokens")
            papers = () if options.brief else papers_rows(model, tokens)
            for row in (*papers, *our_rows(model, tokens, options.brief)):
                published = PAPER.get(model, {}).get(row.technique, {}).get(tokens)
                table.add_row(
                    row.technique,
                    f"{row.peak_bytes / 1e9:.3f}",
                    "" if published is None else f"{published:.2f}",
                    f"{row.step_seconds:.1f}",
                    f"{row.planning_seconds:.0f} s",
                )
            console.print(table)
            if options.measure:
                measure_model(
                    f"config:{model}", *options_of(tokens, "lowpeak"), budget_of(tokens), options.measure
                )


if __name__ == "__main__":
    main()
