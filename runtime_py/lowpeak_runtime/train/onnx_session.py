"""A bundle for ONNX Runtime Training in this process, through its training API, as an app has it.

Adapter, gradient buffers and optimizer state are the runtime's own. Its checkpoint, the only way to its
optimizer state, is one tensor of ours, beside the adapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnxruntime.training.api import CheckpointState, Module, Optimizer
from torch import Tensor

from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.manifest import Manifest
from lowpeak_artifact.onnx_layout import CHECKPOINT, TRAINING_MODEL
from lowpeak_export.onnx.runtime import session_options
from lowpeak_runtime.train.checkpoint import Progress, read_progress, require_same_run
from lowpeak_runtime.train.checkpoint_tensors import copy_state, save_checkpoint
from lowpeak_runtime.train.optimizer import not_finite, spoiled
from lowpeak_runtime.train.run_optimizer import RUN_OPTIMIZER
from lowpeak_runtime.train.session import Job, checked, require_step

MOST_OF_A_REASON = 400
"""Characters."""
_LARGEST_SQUARED = np.sqrt(np.finfo(np.float32).max)
"""A gradient beyond it has no square."""
STATE = "onnxruntime"
"""Name of the runtime's own checkpoint among the tensors of ours."""


class OnnxSession:
    """Raises ArtifactError when the files do not fit each other or the runtime refuses them."""

    def __init__(self, job: Job, manifest: Manifest) -> None:
        options = session_options(manifest.session_options)
        options.intra_op_num_threads = torch.get_num_threads()
        folder, self._work = Path(job.artifact), Path(job.work)
        self._inputs = {record.name: record for record in manifest.largest.inputs}
        self._parameters = {record.name: record.shape for record in manifest.parameters}
        self._options, self._total_steps = job.optimizer, job.total_steps
        self._weight = self._weights = 0
        """Of the last batch, and of all since the last update."""
        state_file = folder / CHECKPOINT
        if job.checkpoint is not None and job.first_step:
            state_file = self._restored(Path(job.checkpoint), job, manifest)
        try:
            self._state = CheckpointState.load_checkpoint(state_file)
            self._require_parameters(state_file)
            self._module = Module(folder / TRAINING_MODEL, self._state, session_options=options)
            self._optimizer = Optimizer(self._work / RUN_OPTIMIZER, self._module)
        except RuntimeError as error:
            raise ArtifactError(
                f"ONNX Runtime cannot load the artifact {folder}: {_reason(error)}"
            ) from error
        self._order = self._module.input_names()
        self._module.train()

    def accumulate(self, batch: Mapping[str, Tensor], bucket: int = 0, weight: int = 1) -> float:
        inputs = [checked(self._inputs[name], batch.get(name)).numpy() for name in self._order]
        # The runtime adds every gradient with the factor 1: what is there is brought to that of this batch.
        self._scale(self._weight, weight)
        try:
            loss = float(self._module(*inputs))
        except RuntimeError as error:
            raise ArtifactError(f"ONNX Runtime failed in the step: {_reason(error)}") from error
        self._weight, self._weights = weight, self._weights + weight
        return loss

    def gradients(self) -> dict[str, Tensor]:
        """The gradient buffers, by parameter name: the weighted sum so far over the last batch's weight."""
        return {name: torch.from_numpy(self._parameter(name).grad) for name in self._parameters}

    def parameters(self) -> dict[str, Tensor]:
        """Copies of the adapter's tensors by name."""
        return {name: torch.from_numpy(self._parameter(name).data) for name in self._parameters}

    def update(self, step: int) -> None:
        self._scale(self._weight, self._weights)
        for name in self._parameters:
            largest = _largest(self._parameter(name).grad)
            if not np.isfinite(largest):
                raise not_finite("the gradient is not finite", step)
            # The runtime keeps its state to itself: means of gradients and of their squares.
            if self._options.algorithm == "adamw" and largest > _LARGEST_SQUARED:
                raise spoiled(f"optimizer.exp_avg_sq.{name}", step)
        self._optimizer.set_learning_rate(self._options.learning_rate_at(step, self._total_steps))
        self._optimizer.step()
        for name in self._parameters:
            if not np.isfinite(_largest(self._parameter(name).data)):
                raise spoiled(f"adapter.{name}", step)
        self._module.lazy_reset_grad()
        self._weight = self._weights = 0

    def save(self, path: Path, progress: Progress) -> None:
        own = self._work / "state"
        try:
            CheckpointState.save_checkpoint(self._state, own, include_optimizer_state=True)
        except RuntimeError as error:
            raise EnvironmentProblem(
                f"ONNX Runtime cannot write its checkpoint to {own}: {_reason(error)}; free some disk space "
                "and resume"
            ) from error
        state = torch.from_numpy(np.memmap(own, np.uint8, mode="c"))
        save_checkpoint(path, progress, self.parameters(), {STATE: state})
        own.unlink()

    def _scale(self, dividend: int, divisor: int) -> None:
        """The gradient buffers in place; there is nothing in them while no batch has a weight."""
        if dividend not in (0, divisor):
            for name in self._parameters:
                buffer = self._parameter(name).grad
                np.multiply(buffer, np.float32(dividend / divisor), out=buffer)

    def _restored(self, checkpoint: Path, job: Job, manifest: Manifest) -> Path:
        """The runtime's own checkpoint out of ours."""
        progress = read_progress(checkpoint)
        require_same_run(checkpoint, progress, job.progress(manifest, job.first_step, job.position))
        require_step(progress.step, job)
        own = self._work / "restored"
        with own.open("wb") as file:
            copy_state(checkpoint, STATE, file)
        return own

    def _require_parameters(self, file: Path) -> None:
        for name, shape in self._parameters.items():
            actual = list(self._parameter(name).data.shape) if name in self._state.parameters else "none"
            if actual != shape:
                raise ArtifactError(
                    f"{file} is a checkpoint of another artifact: of {name} it has {actual}, not {shape}; "
                    "compile the artifact again"
                )

    def _parameter(self, name: str) -> Any:
        return self._state.parameters[name]


def _largest(values: np.ndarray) -> np.float32:
    """By its size; not finite where one is not. Nothing as large as `values` is made for it."""
    largest: np.float32 = np.float32(np.maximum(abs(values.max()), abs(values.min())))
    return largest


def _reason(error: RuntimeError) -> str:
    """What the runtime says, without the places in its own source."""
    text = " ".join(str(error).split())
    return re.sub(r"/\S+\.(?:cc|h):\d+ ", "", text)[:MOST_OF_A_REASON]
