"""The training that lowpeak replaces: eager PyTorch with PEFT, in a process of its own, measured alike.

The model is transformers' with PEFT's adapter and stock attention, on the artifact's weights as float32;
adapter, batches, optimizer and measurement are those of lowpeak_runtime/train/trainer.py. The process is
`python -m lowpeak_runtime.train.eager job.json`; it tells the events of lowpeak_runtime/train/events.py.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedModel

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import DataError
from lowpeak_artifact.linux import processors
from lowpeak_artifact.private_folder import private_folder
from lowpeak_compiler.frontend.causal_lm import CausalLMLoss
from lowpeak_runtime.data.batch_file import BatchFolder
from lowpeak_runtime.data.prepare import Data, training_data
from lowpeak_runtime.simulate.reference import LOSS_PREFIX
from lowpeak_runtime.simulate.reference_model import own_weights
from lowpeak_runtime.train.command import python_command
from lowpeak_runtime.train.events import end_event, ready_event, step_event
from lowpeak_runtime.train.feed import Feed
from lowpeak_runtime.train.optimizer import AdapterOptimizer, OptimizerOptions, warm_up
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import StopRequest
from lowpeak_runtime.train.supervisor import StepReport, supervise
from lowpeak_runtime.train.worker import Emit, main


@dataclass(frozen=True)
class EagerReport:
    """`step_seconds`: median of a step."""

    peak_bytes: int
    """Most anonymous memory beyond the process's baseline."""
    peak_rss_bytes: int
    """Most resident memory of the process in all."""
    step_seconds: float
    losses: tuple[float, ...]


def train_eagerly(
    artifact: Artifact,
    data: Data,
    *,
    steps: int,
    optimizer: OptimizerOptions,
    seed: int = 0,
    on_step: Callable[[StepReport], None] | None = None,
) -> EagerReport:
    """The first `steps` steps of `train` with the same arguments; nothing is kept of them.

    Raises DataError for an artifact whose step is not the plain one: masked logits, a softmax subset, or no
    language model.
    """
    spec = artifact.manifest.largest.batch
    if not spec.causal_lm or spec.rows is not None or spec.subset_size is not None:
        raise DataError("eager training is compared with the exact loss of a language model, on every token")
    with private_folder("lowpeak-eager-") as temporary:
        prepared = training_data(artifact, data)
        job = Job.of(artifact, temporary, steps=steps, streamed=True, optimizer=optimizer, seed=seed)
        feed = Feed(job, prepared)
        run = supervise(job, Path(temporary), python_command("lowpeak_runtime.train.eager"), on_step, feed)
    return EagerReport(
        peak_bytes=run.peak_anonymous_bytes,
        peak_rss_bytes=run.peak_rss_bytes,
        step_seconds=statistics.median(step.seconds for step in run.steps) if run.steps else 0.0,
        losses=tuple(step.loss for step in run.steps),
    )


class _Step(nn.Module):
    """Forward and backward in one call: what is run again in the backward has its parameters then, too."""

    PREFIX = "loss."

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, **batch: Tensor) -> Tensor:
        loss: Tensor = self.loss(**batch)
        loss.backward()
        return loss.detach()


def run(job: Job, emit: Emit, stop: StopRequest, *, checkpointing: bool = False) -> None:
    """Trains all steps of the job, on every core that the process may use.

    `checkpointing`: transformers' gradient checkpointing, which keeps a layer's input and runs it again.
    """
    torch.set_num_threads(processors())
    warm_up(job.optimizer)
    emit(ready_event())
    artifact = Artifact.open(job.artifact, verify=False, expect=job.expect)
    reference = own_weights(artifact)
    model, frozen = reference.module, reference.frozen
    if checkpointing:
        model.train()
        assert isinstance(model, PeftModel)
        base = model.get_base_model()
        assert isinstance(base, PreTrainedModel)
        base.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[no-untyped-call]
    step_module = _Step(CausalLMLoss(model))
    adapter = {name: value.requires_grad_() for name, value in artifact.adapter().items()}
    values = {f"{_Step.PREFIX}{LOSS_PREFIX}{name}": value for name, value in {**frozen, **adapter}.items()}
    gradients = {name: torch.zeros_like(value) for name, value in adapter.items()}
    optimizer = AdapterOptimizer(adapter, gradients, job.optimizer, job.total_steps)
    buckets = artifact.manifest.buckets
    batches = BatchFolder(job.batches, streamed=job.streamed)
    step = 0
    while step < job.total_steps and stop.reason is None:
        started = time.perf_counter()
        for gradient in gradients.values():
            gradient.zero_()
        batch = batches.at(step, stop)
        if batch is None:
            break
        bucket, inputs = batch
        loss = functional_call(step_module, values, (), inputs)
        if not math.isfinite(loss.item()):
            raise DataError(f"the loss of eager training is {loss.item()} at step {step}", step=step)
        optimizer.update(step)
        seconds = time.perf_counter() - started
        emit(step_event(step, loss.item(), seconds, buckets[bucket].batch.tokens))
        step += 1
    emit(end_event(step, job.total_steps, stop.reason))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], run))
