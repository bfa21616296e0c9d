"""An ExecuTorch program in this process: run a step, see its gradients, change its adapter in place.

The program's outputs are [loss, gradients ..., parameters ...]. They lie in the arena at the plan's offsets,
so a tensor over them is the state itself: what an optimizer writes there, the next step reads. Needs neither
transformers nor ExecuTorch's compiler, so a process that only trains stays small.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.executorch_layout import PROGRAM
from lowpeak_artifact.manifest import Manifest, TensorRecord
from lowpeak_export.executorch.library import LOWPEAK, KernelSession, load_ops
from lowpeak_runtime.train.checkpoint import Progress
from lowpeak_runtime.train.checkpoint_tensors import restore_checkpoint, save_checkpoint
from lowpeak_runtime.train.optimizer import AdapterOptimizer
from lowpeak_runtime.train.session import Job, checked, dtype_name, require_step

METHOD = "forward"

_RUNTIME_LINE = re.compile(r"\[\w+\.(?:cpp|cc|c|h):\d+\] ")


class ExecuTorchSession:
    """Trains a bundle's program: its gradients and its adapter are updated in place by torch.optim."""

    def __init__(self, job: Job, manifest: Manifest) -> None:
        if job.accumulate != 1:
            raise ArtifactError(
                f"gradients of {job.accumulate} batches cannot be accumulated: the Python worker has no "
                "buffers for them on ExecuTorch; use lowpeak-runner (engine='native'), compile with a larger "
                "batch_size, or for target='onnxruntime'"
            )
        self._folder, self._manifest, self._bucket = Path(job.artifact), manifest, 0
        self._work = job.work
        self.program: ExecuTorchProgram | None = self._load(0)
        self.parameters, self.gradients = self.program.parameters, self.program.gradients
        self.optimizer = AdapterOptimizer(self.parameters, self.gradients, job.optimizer, job.total_steps)
        if job.checkpoint is not None and job.first_step:
            wanted = job.progress(manifest, job.first_step, job.position)
            restored = restore_checkpoint(Path(job.checkpoint), wanted, self.parameters, self.optimizer.state)
            require_step(restored, job)

    def accumulate(self, batch: Mapping[str, Tensor], bucket: int = 0, weight: int = 1) -> float:
        if bucket != self._bucket:
            self._use(bucket)
        assert self.program is not None
        return self.program.step(batch)

    def update(self, step: int) -> None:
        self.optimizer.update(step)

    def save(self, path: Path, progress: Progress) -> None:
        save_checkpoint(path, progress, self.parameters, self.optimizer.state)

    def _load(self, bucket: int) -> ExecuTorchProgram:
        manifest, chosen = self._manifest, self._manifest.buckets[bucket]
        weights = self._folder / manifest.weights_file
        program = self._folder / chosen.file(PROGRAM)
        return ExecuTorchProgram(program, weights, manifest, bucket, self._work)

    def _use(self, bucket: int) -> None:
        """Loads another bucket's program in place of this one, for memory is one program's; the tensors that
        the optimizer knows are then aliases of its state, with the adapter's values.
        """
        for name, parameter in self.parameters.items():
            parameter.data = parameter.clone()
            self.gradients[name].data = torch.empty(0)
        self.program = None
        self.program, self._bucket = self._load(bucket), bucket
        for name, parameter in self.parameters.items():
            self.program.parameters[name].copy_(parameter)
            parameter.data = self.program.parameters[name]
            self.gradients[name].data = self.program.gradients[name]


class ExecuTorchProgram:
    """A loaded program with its weights mapped. Its tensors are valid as long as the session lives.

    Raises EnvironmentProblem when ExecuTorch is not installed, ArtifactError when the runtime refuses the
    files or they do not fit the manifest.
    """

    parameters: dict[str, Tensor]
    """The adapter's tensors by name: aliases of the program's state, from before the first step on."""

    gradients: dict[str, Tensor]
    """By the same names: aliases of what the last step wrote, valid until the next."""

    def __init__(
        self,
        program_path: str | Path,
        weights_path: str | Path | None,
        manifest: Manifest,
        bucket: int = 0,
        work: str | Path | None = None,
    ) -> None:
        """`work`: a folder for what the step puts into a file, by default that of temporary files."""
        runtime = load_runtime(manifest.kernels)
        chosen = manifest.buckets[bucket]
        self._inputs = chosen.inputs
        self._kernels = KernelSession() if manifest.kernels == LOWPEAK else None
        if self._kernels is not None:
            # Before the memory goes that it reads into.
            weakref.finalize(self, self._kernels.close)
            if chosen.plan.offload_bytes > 0:
                folder = str(work or tempfile.gettempdir())
                self._kernels.open_offload_file(folder, chosen.plan.offload_bytes)
        data_path = None if weights_path is None else str(weights_path)
        with quiet(f"cannot load {program_path}"):
            # The method lives in the program's memory, so both stay referenced.
            self._program = runtime._load_program(str(program_path), data_path=data_path)
            self._method = self._program.load_method(METHOD)
            outputs = self._method.get_outputs(clone_outputs=False)
        records = manifest.parameters
        if len(outputs) != 1 + 2 * len(records):
            raise ArtifactError(
                f"{program_path} has {len(outputs)} outputs, for {len(records)} parameters it should have "
                f"{1 + 2 * len(records)}"
            )
        self._loss: Tensor = outputs[0]
        self.gradients = _named(records, outputs[1 : 1 + len(records)])
        self.parameters = _named(records, outputs[1 + len(records) :])

    def step(self, graph_inputs: Mapping[str, Tensor]) -> float:
        """Forward and backward of one batch -> loss; `gradients` are then this batch's.

        `graph_inputs` are what `BatchSpec.graph_inputs` returns. Raises DataError when a tensor is missing or
        of another shape or dtype, ArtifactError when a kernel fails, EnvironmentProblem when the disk does.
        """
        inputs = [checked(record, graph_inputs.get(record.name)) for record in self._inputs]
        try:
            with quiet("failed in the step"), self._kernels.entered() if self._kernels else nullcontext():
                self._method.set_inputs(inputs)
                self._method.execute()
        except ArtifactError as error:
            if self._kernels and (failure := self._kernels.offload_failure()):
                raise EnvironmentProblem(f"values could not be offloaded: {failure}") from error
            raise
        return float(self._loss)


def load_runtime(kernels: str) -> ModuleType:
    """ExecuTorch's runtime with its quantized kernels registered, and ours if the kernel set is "lowpeak".

    Raises EnvironmentProblem when one of them is not there.
    """
    try:
        # Not portable_lib: it imports all of ExecuTorch's compiler, 130 MB, around this module.
        from executorch.extension.pybindings import _C
    except ImportError as error:
        raise EnvironmentProblem(
            f"running an artifact needs ExecuTorch ({error}): pip install 'lowpeak[executorch]'"
        ) from error
    import executorch.kernels.quantized  # noqa: F401

    if kernels == LOWPEAK:
        load_ops()
    runtime: ModuleType = _C
    return runtime


def _named(records: list[TensorRecord], tensors: list[Tensor]) -> dict[str, Tensor]:
    for record, tensor in zip(records, tensors, strict=True):
        if list(tensor.shape) != record.shape or dtype_name(tensor) != record.dtype:
            raise ArtifactError(
                f"the program has {record.name} as {dtype_name(tensor)} {list(tensor.shape)}, the manifest "
                f"as {record.dtype} {record.shape}"
            )
    return {record.name: tensor for record, tensor in zip(records, tensors, strict=True)}


@contextmanager
def quiet(doing: str) -> Iterator[None]:
    """Keeps the runtime's log off the terminal; its failure becomes an ArtifactError with what it said last.

    The runtime writes to sys.stderr or past it, to the file descriptor. Lines of anyone else are passed on.
    """
    terminal = os.dup(2)
    failure: RuntimeError | None = None
    with tempfile.TemporaryFile() as log, open(log.fileno(), "w", closefd=False, buffering=1) as text:
        os.dup2(log.fileno(), 2)
        try:
            with redirect_stderr(text):
                yield
        except RuntimeError as error:
            failure = error
        finally:
            text.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines()
    for line in lines:
        if not _RUNTIME_LINE.match(line):
            print(line, file=sys.stderr)
    if failure is not None:
        said = [line for line in lines if _RUNTIME_LINE.match(line) and "cpuinfo" not in line]
        raise ArtifactError(f"ExecuTorch {doing}: {failure}{f' ({said[-1]})' if said else ''}") from failure
