"""Peaks in the set-up that others published theirs for: Qwen2.5, rank 8, int4 groups of 64, exact gradients.

    python -m benchmarks.rivals [--models qwen2.5-0.5b] [--tokens 256,1024] [--measure FOLDER]

Batch 1, every token labelled, all linear layers, with our kernels, within the budget given for each. MB of
10**6 bytes. --measure compiles each, and runs a step in a fresh process under a hard limit of the budget.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from peft import LoraConfig
from rich.console import Console
from rich.table import Table

from benchmarks.measure import measure_model
from benchmarks.published import RIVALS
from benchmarks.table1 import within_budget
from lowpeak.api import open_intake
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.pipeline import build_joint

BUDGETS = {
    "qwen2.5-0.5b": {256: 80, 1024: 140},
    "qwen2.5-1.5b": {256: 140},
    "qwen2.5-3b": {256: 200},
}
"""Megabytes by tokens."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default=",".join(BUDGETS))
    parser.add_argument("--tokens", default="256,1024")
    parser.add_argument("--measure", type=Path, metavar="FOLDER")
    asked = parser.parse_args()
    wanted = set(map(int, asked.tokens.split(",")))
    for model in asked.models.split(","):
        for tokens, budget in BUDGETS[model].items():
            if tokens not in wanted:
                continue
            options = TrainingOptions(tokens, group_size=64), TargetOptions(kernels="lowpeak")
            lora = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
            started = time.monotonic()
            intake = open_intake(f"config:{model}", options[0], lora=lora)
            joint, _ = build_joint(intake, *options, Runner())
            ours = within_budget(joint, *options, Budget(budget), started)
            table = Table("who", "peak MB", title=f"{model}, {tokens} tokens")
            table.add_row(f"lowpeak within {budget} MB, planned", f"{ours.peak_bytes / 1e6:.1f}")
            for who, peaks in RIVALS[model].items():
                if tokens in peaks:
                    table.add_row(who, f"{peaks[tokens] * 1e3:.0f}")
            Console().print(table)
            if asked.measure:
                measure_model(f"config:{model}", *options, Budget(budget), asked.measure, lora)


if __name__ == "__main__":
    main()
