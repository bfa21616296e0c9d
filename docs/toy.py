"""One tiny model through every stage of the compiler: `python -m docs.toy` prints what how-it-works.md shows.

python -m docs.toy           print all stages
python -m docs.toy --update  write them into docs/how-it-works.md
"""

from __future__ import annotations

import difflib
import re
import sys
import textwrap
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, silu

from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.fitting import carry_out_plan
from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.budget.variants import Variant
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.differentiate import differentiate
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Record, Runner
from lowpeak_compiler.passes.stages import Capture, Differentiate

DOCUMENT = Path(__file__).with_name("how-it-works.md")
TOKENS, LABELLED, WIDTH, INNER, RANK, VOCABULARY = 64, 32, 64, 256, 4, 1024
WORKSPACE = 1 << 20
"""Bytes for the logits of the lowered loss: all of them at once here."""
BUDGET = 480_000
"""Bytes for tensors, and for what the runtime holds of each operation."""
SHOWN_WHOLE = ("capture", "differentiate", "normalize")
"""Stages that change most lines; of the others only the changed lines are shown."""
NEW_ORDER = "reorder"
"""Of this one the names, in order."""


class Toy(nn.Module):
    """A frozen layer with a LoRA beside it, SiLU, a frozen layer, a frozen output matrix, cross-entropy."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, INNER, bias=False).requires_grad_(False)
        self.lora_a = nn.Linear(WIDTH, RANK, bias=False)
        self.lora_b = nn.Linear(RANK, INNER, bias=False)
        self.down = nn.Linear(INNER, WIDTH, bias=False).requires_grad_(False)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False).requires_grad_(False)

    def forward(self, x: Tensor, targets: Tensor) -> Tensor:
        inner = silu(self.up(x) + self.lora_b(self.lora_a(x)))
        return cross_entropy(self.head(self.down(inner)), targets)


def stages() -> dict[str, str]:
    """Name of a stage -> the graph after it, or what changed in it; at the end decisions and arena."""
    found: dict[str, str] = {}
    before = ""

    def observe(record: Record, graph: TrainGraph) -> None:
        nonlocal before
        stage = record.name
        dump = graph.dump()
        if stage == NEW_ORDER:
            found[stage] = textwrap.fill(" ".join(node.name for node in graph.operations()), 110)
        else:
            found[stage] = dump if stage in SHOWN_WHOLE else _changes(before, dump)
        before = dump

    runner = Runner(observe)
    stock, phone = target("executorch", "stock"), device("generic-phone")
    batch = {"x": ((TOKENS, WIDTH), torch.float32), "targets": ((TOKENS,), torch.int64)}
    forward = runner.passed(Capture(), capture(Toy(), batch))
    runner.run(forward, [Quantize(bits=4, group_size=32), MaskLogits(LABELLED), ChunkedLoss()])
    joint = runner.passed(Differentiate(), differentiate(forward))
    runner.run(joint, [Normalize(), DequantizePerUse()])

    lowered = Variant(joint, stock, phone, WORKSPACE)
    observe(Record("lower", 1), lowered.graph)
    plan = lowered.planner.plan(BUDGET)
    assert plan is not None
    kept = lowered.planner.fastest()
    found["decide"] = (
        f"{'':16} {'tensors':>9} {'and operations':>16}\n"
        f"{'everything kept':16} {kept.peak_bytes:9,} {kept.needed_bytes:16,}\n"
        f"{'plan':16} {plan.peak_bytes:9,} {plan.needed_bytes:16,}\n"
        f"{'budget':16} {'':9} {BUDGET:16,}\n"
        f"run again: {', '.join(sorted(plan.decisions.recompute)) or 'nothing'}"
    )
    step = carry_out_plan(lowered, plan, stock, phone, runner)
    del found["offload"]
    found["place"] = arena(step)
    return found


def _changes(before: str, after: str) -> str:
    """Removed lines with -, new ones with +."""
    lines = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm=""))[2:]
    return "\n".join(line[0] + " " + line[1:] for line in lines if not line.startswith("@@"))


def arena(step: PlannedStep) -> str:
    """A line for each buffer, by offset: where it lies, and a mark for every step that it is live."""
    steps = max(buffer.upper for buffer in step.problem.buffers)
    lines = [f"{'offset':>7} {'bytes':>6}  {'value':<34} steps 0 to {steps - 1}"]
    placed = zip(step.solution.offsets, step.problem.buffers, strict=True)
    for offset, buffer in sorted(placed, key=lambda pair: (pair[0], pair[1].lower)):
        strip = "." * buffer.lower + "#" * (buffer.upper - buffer.lower) + "." * (steps - buffer.upper)
        lines.append(f"{offset:7} {buffer.size:6}  {buffer.id:<34} {strip}")
    solution = step.solution
    return "\n".join(
        [*lines, f"height {solution.height:,} bytes, lower bound {solution.lower_bound:,} bytes"]
    )


def updated(document: str, found: dict[str, str]) -> str:
    """The document with every block between `<!-- stage: NAME -->` and `<!-- end -->` as it is today."""

    def block(match: re.Match[str]) -> str:
        return f"<!-- stage: {match[1]} -->\n```text\n{found[match[1]]}\n```\n<!-- end -->"

    return re.sub(r"<!-- stage: (\w+) -->\n.*?<!-- end -->", block, document, flags=re.DOTALL)


def main(arguments: list[str]) -> None:
    found = stages()
    if "--update" in arguments:
        DOCUMENT.write_text(updated(DOCUMENT.read_text(encoding="utf-8"), found), encoding="utf-8")
        return
    for name, text in found.items():
        print(f"== {name}\n{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
