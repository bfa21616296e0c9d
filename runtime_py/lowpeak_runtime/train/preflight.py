"""What a run writes, file by file, and whether there is room for it, asked before any work."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from lowpeak_artifact.disk import TMPDIR_REMEDY, Need, require_room
from lowpeak_artifact.manifest import BucketRecord, Manifest
from lowpeak_export.executorch.library import LOWPEAK
from lowpeak_runtime.train.checkpoint import CHECKPOINT, FILES_AT_ONCE, PREVIOUS
from lowpeak_runtime.train.feed import FILE_BYTES, FILES_AHEAD
from lowpeak_runtime.train.optimizer import OptimizerOptions, optimizer_bytes
from lowpeak_runtime.train.session import ONNXRUNTIME

FLOAT_BYTES = 4
HEADER_BYTES = 256
"""Of a tensor's entry in a checkpoint, about."""
OUT_REMEDY = "give a folder on another disk with --out"


def adapter_bytes(manifest: Manifest) -> int:
    return sum(FLOAT_BYTES * math.prod(parameter.shape) for parameter in manifest.parameters)


def state_bytes(manifest: Manifest, options: OptimizerOptions) -> int:
    """Of the optimizer."""
    if manifest.target == ONNXRUNTIME:
        # A checkpoint of its own, which has the parameters, too.
        return adapter_bytes(manifest) * (3 if options.algorithm == "adamw" else 1)
    sizes = ((math.prod(parameter.shape), FLOAT_BYTES) for parameter in manifest.parameters)
    return optimizer_bytes(sizes, options)


def checkpoint_bytes(manifest: Manifest, options: OptimizerOptions) -> int:
    """A lower bound."""
    header = HEADER_BYTES * len(manifest.parameters)
    return header + adapter_bytes(manifest) + state_bytes(manifest, options)


def batch_bytes(bucket: BucketRecord) -> int:
    """As the run's files hold a batch."""
    return sum(math.prod(each.shape) * getattr(torch, each.dtype).itemsize for each in bucket.inputs)


def files_of_work(
    manifest: Manifest, options: OptimizerOptions, *, native: bool, accumulate: int = 1, batches: int = 0
) -> tuple[int, ...]:
    """Temporary files: state in mapped files, what is offloaded and, of `batches` still to come, those that
    are written ahead of the steps.
    """
    adapter, state = adapter_bytes(manifest), state_bytes(manifest, options)
    files = [max(bucket.plan.offload_bytes for bucket in manifest.buckets)]
    if manifest.target == ONNXRUNTIME:
        files.append(state)
    elif native:
        files.append(state)
        files += [2 * adapter] if manifest.kernels == LOWPEAK else []
        files += [adapter] if accumulate > 1 else []
        files += [adapter] if len(manifest.buckets) > 1 else []
    batch = min(batch_bytes(bucket) for bucket in manifest.buckets)
    piece = max(FILE_BYTES, batch)
    ahead = max((FILES_AHEAD + 1) * piece, accumulate * batch + piece)
    whole, rest = divmod(min(batches * batch, ahead), piece)
    return tuple(filter(None, [*files, *(piece,) * whole, rest]))


def files_of_out(
    manifest: Manifest, options: OptimizerOptions, present: int = 0, adapter: bool = True
) -> tuple[int, ...]:
    """The checkpoints, of which so many are `present`, one that is being written, and the adapter's file."""
    checkpoints = FILES_AT_ONCE - min(present, FILES_AT_ONCE - 1)
    return (checkpoint_bytes(manifest, options),) * checkpoints + (adapter_bytes(manifest),) * adapter


def require_room_for_run(
    manifest: Manifest,
    out: Path | None,
    work: str | Path,
    options: OptimizerOptions | None,
    *,
    native: bool,
    steps: int,
    accumulate: int,
) -> None:
    """Of `train`. Raises EnvironmentProblem when a folder cannot be written, or has no room for the run."""
    options = options or OptimizerOptions()
    temporary = files_of_work(
        manifest, options, native=native, accumulate=accumulate, batches=steps * accumulate
    )
    needs = [Need(Path(work), temporary, "the run's temporary files", TMPDIR_REMEDY)]
    if out is not None:
        present = sum(path.exists() for path in (out / CHECKPOINT, out / PREVIOUS))
        kept = files_of_out(manifest, options, present)
        needs.insert(0, Need(out, kept, "the run's checkpoints and adapter", OUT_REMEDY))
    require_room(*needs)


def require_room_for_batches(manifest: Manifest, out: Path, batches: int) -> None:
    """Of `prepare`, by the shortest sequences. Raises EnvironmentProblem as `require_room_for_run`."""
    batch = min(batch_bytes(bucket) for bucket in manifest.buckets)
    require_room(Need(out, (batch,), f"the data as {batches} batches", OUT_REMEDY, times=batches))
