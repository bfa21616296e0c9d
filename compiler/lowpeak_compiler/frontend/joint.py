"""The first two parts of a list of passes, run: forward graph, joint graph."""

from __future__ import annotations

from lowpeak_compiler.config import TrainingOptions
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.differentiate import differentiate
from lowpeak_compiler.frontend.intake import Intake
from lowpeak_compiler.ir.graph import Frozen, TrainGraph
from lowpeak_compiler.ir.id_ranges import mark_id_ranges
from lowpeak_compiler.passes.contract import Pipeline, made
from lowpeak_compiler.passes.loss.head import find_head
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.passes.stage import Pass
from lowpeak_compiler.passes.stages import Capture, Differentiate


def run_joint(
    pipeline: Pipeline, intake: Intake, training: TrainingOptions, runner: Runner
) -> tuple[TrainGraph, str | None]:
    """The joint graph and the name of the head; the forward graph if the list is cut before."""
    capturing = pipeline.forward[0]
    assert isinstance(capturing, Capture)
    forward = runner.passed(capturing, capture(intake.module, intake.batch, prefix=intake.prefix))
    head = find_head(forward)
    head_role = forward.roles.get(head.weight.name) if head else None
    name = head_role.name if head_role else None
    runner.run(forward, forward_passes(pipeline, intake, training, forward))
    if not pipeline.joint:
        return forward, name
    mark_id_ranges(forward)
    joint = runner.passed(Differentiate(), differentiate(forward))
    return runner.run(joint, made(pipeline.joint, {})), name


def forward_passes(
    pipeline: Pipeline, intake: Intake, training: TrainingOptions, forward: TrainGraph
) -> tuple[Pass, ...]:
    """Those over the captured graph."""
    return made(pipeline.forward, {Quantize: _quantize(intake, training, forward)})


def _quantize(intake: Intake, training: TrainingOptions, forward: TrainGraph) -> Quantize | None:
    frozen = [role.name for _, role in forward.inputs() if isinstance(role, Frozen)]
    stored = {name: format for name in frozen if (format := intake.weights.format_of(name))}
    if training.quantization != "none":
        return Quantize(4 if training.quantization == "int4" else 8, training.group_size, stored)
    return Quantize(stored=stored, only_stored=True) if stored else None
