"""What trains in the worker: one runtime with its adapter, gradients and optimizer, behind one interface."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor

from lowpeak_artifact.artifact import Artifact, require_expected
from lowpeak_artifact.batch_input import BatchInput
from lowpeak_artifact.errors import ArtifactError, DataError
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.manifest import MOST_BYTES, Manifest
from lowpeak_artifact.plain_file import read_plain
from lowpeak_runtime.train.checkpoint import Progress, artifact_id
from lowpeak_runtime.train.fingerprint import fingerprint, option_fields
from lowpeak_runtime.train.optimizer import OptimizerOptions

ONNXRUNTIME = "onnxruntime"
BATCHES = "batches"
"""The folder's name."""


@dataclass(frozen=True)
class Job:
    """What a worker is told; paths are of files."""

    manifest: str
    artifact: str
    """The folder."""
    work: str
    """A folder for temporary files."""
    batches: str
    """The folder of those from `first_step` on, numbered from the first step of all: see batch_file.py."""
    streamed: bool
    """Batches are still written while the run goes on."""
    data: str
    """What the batches are made of, by its SHA-256; for the checkpoint."""
    position: int
    """Where the first batch begins in the order of the data; a checkpoint says where the last step ended."""
    first_step: int
    total_steps: int
    accumulate: int
    """Batches whose gradients make one update: the mean over all their labels."""
    seed: int
    """Of the batches' order; for the checkpoint."""
    optimizer: OptimizerOptions
    checkpoint: str | None
    """Where to write it; continued from if `first_step` is not 0. None: nothing is kept."""
    checkpoint_every: int
    """Steps."""
    expect: str | None = None
    """The SHA-256 of the manifest that is trained by; None: any."""

    @staticmethod
    def of(
        artifact: Artifact,
        work: str | Path,
        *,
        steps: int,
        data: str = "",
        streamed: bool = False,
        optimizer: OptimizerOptions | None = None,
        accumulate: int = 1,
        seed: int = 0,
        checkpoint: Path | None = None,
        checkpoint_every: int = 50,
    ) -> Job:
        """From the first step to the last; the batches are still to be written."""
        return Job(
            manifest=str(artifact.path / MANIFEST),
            artifact=str(artifact.path),
            work=str(work),
            batches=str(Path(work) / BATCHES),
            streamed=streamed,
            data=data,
            position=0,
            first_step=0,
            total_steps=steps,
            accumulate=accumulate,
            seed=seed,
            optimizer=optimizer or OptimizerOptions(),
            checkpoint=None if checkpoint is None else str(checkpoint),
            checkpoint_every=checkpoint_every,
            expect=artifact.sha256,
        )

    def read_manifest(self) -> Manifest:
        """Raises ArtifactError when it is another than was expected."""
        folder = Path(self.manifest).parent
        data = read_plain(folder, MANIFEST, f"the artifact {folder}", MOST_BYTES)
        manifest = Manifest.from_json(data)
        require_expected(folder, manifest.sha256, self.expect)
        return manifest

    def relative_to(self, folder: Path) -> Job:
        """With paths from the folder on."""

        def relative(path: str) -> str:
            return os.path.relpath(path, folder)

        return dataclasses.replace(
            self,
            manifest=relative(self.manifest),
            artifact=relative(self.artifact),
            work=relative(self.work),
            batches=relative(self.batches),
            checkpoint=None if self.checkpoint is None else relative(self.checkpoint),
        )

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        raw = json.loads(text)
        return Job(**{**raw, "optimizer": OptimizerOptions(**raw["optimizer"])})

    def progress(self, manifest: Manifest, step: int, position: int) -> Progress:
        """`position`: where the step's last batch ended in the order of the data."""
        known = {**dataclasses.asdict(self.optimizer), "accumulate": self.accumulate}
        fields = option_fields({**known, "total_steps": self.total_steps})
        return Progress(
            artifact_id(manifest), step, self.seed, fingerprint(fields), fields, self.data, position
        )

    def continued(self, progress: Progress) -> Job:
        """From where that run is on."""
        return dataclasses.replace(self, first_step=progress.step, position=progress.position)


class Session(Protocol):
    """Made from a job and its manifest; continues from the job's checkpoint if `first_step` is not 0."""

    def accumulate(self, batch: Mapping[str, Tensor], bucket: int = 0, weight: int = 1) -> float:
        """Forward and backward of one batch -> loss; its gradients are added to those since the update.

        `batch`, of the artifact's bucket of that index, is what `BatchSpec.graph_inputs` returns; `weight`:
        what its gradients count for among them (`BatchSpec.weight_of`). Raises DataError when a tensor is
        missing or of another shape or dtype, ArtifactError when a kernel fails.
        """

    def update(self, step: int) -> None:
        """Updates the adapter by the weighted mean of the gradients, which are then zero; `step`: the
        updates before.

        Raises DataError when a gradient is not finite.
        """

    def save(self, path: Path, progress: Progress) -> None:
        """Writes a checkpoint. Raises EnvironmentProblem when it cannot be written."""


def checked(record: BatchInput, tensor: Tensor | None) -> Tensor:
    """The input as the program takes it. Raises DataError when it is missing or of another shape or dtype."""
    if tensor is None:
        raise DataError(f"the step needs the input {record.name}, {record.dtype} {record.shape}")
    if list(tensor.shape) != record.shape or dtype_name(tensor) != record.dtype:
        raise DataError(
            f"the input {record.name} must be {record.dtype} {record.shape}, it is {dtype_name(tensor)} "
            f"{list(tensor.shape)}"
        )
    return tensor.detach().contiguous()


def dtype_name(tensor: Tensor) -> str:
    """As the manifest has it: `float32`."""
    return str(tensor.dtype).removeprefix("torch.")


def require_step(actual: int, job: Job) -> None:
    """Raises ArtifactError unless a restored checkpoint is at the job's first step."""
    if actual != job.first_step:
        raise ArtifactError(f"{job.checkpoint} has moved to step {actual}: another process trains there")
