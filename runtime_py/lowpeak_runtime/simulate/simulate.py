"""Proves an artifact on this machine: its step in one arena, loss and gradients beside eager PyTorch's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lowpeak_artifact.artifact import Artifact, Progress
from lowpeak_artifact.batch import SUBSET
from lowpeak_artifact.batch_checks import tensors_of
from lowpeak_artifact.disk import TMPDIR_REMEDY, Need, require_room, temporary_folder
from lowpeak_artifact.errors import ArtifactError, DataError, told_as_environment_problem
from lowpeak_runtime.simulate.execute import execute
from lowpeak_runtime.simulate.reference import reference_step
from lowpeak_runtime.simulate.reference_model import reference_of
from lowpeak_runtime.simulate.report import SimulationReport

PERTURBATION = 0.02
"""Standard deviation of what adapter tensors that are all zero are set to."""


@told_as_environment_problem()
def simulate(
    artifact: Artifact | str | Path,
    *,
    seq_len: int | None = None,
    batch: Mapping[str, Tensor] | None = None,
    reference: nn.Module | str | Path | None = None,
    perturb_adapter: bool = True,
    progress: Progress | None = None,
) -> SimulationReport:
    """`batch`: as a user has it (with `token_subset` if the artifact's loss needs one), of the shape of one
    of the artifact's buckets; None: the sample of the bucket of `seq_len`, by default the largest.

    `reference`: what was compiled: a module in eval mode, or the path of a checkpoint folder or GGUF file,
    which transformers then loads. By default the model's folder beside the artifact, or the hub's cache of
    it, if it is still as it was, or else the artifact's own weights; the report says which. For a plain
    module that is not passed the sample's stored loss is all there is to compare.
    `perturb_adapter`: tensors that are all zero, as a fresh LoRA's B, get small values in both, for
    gradients of A would all be zero otherwise. `progress(operations done, in all)`.

    Raises ArtifactError for a damaged artifact, DataError for a batch that does not fit and
    EnvironmentProblem when there is no room for a temporary file.
    """
    if not isinstance(artifact, Artifact):
        artifact = Artifact.open(artifact)
    manifest = artifact.manifest
    raw_batch = None if batch is None else tensors_of(batch)
    bucket = artifact.bucket(seq_len) if raw_batch is None else manifest.bucket_of(raw_batch)
    raw_batch = artifact.sample(bucket) if raw_batch is None else raw_batch
    if raw_batch is None:
        raise DataError(f"the artifact {artifact.path} has no sample batch; give one")
    compared = reference is not None or manifest.model_config is not None
    adapter = artifact.adapter()
    if perturb_adapter and compared:
        adapter = _perturbed(adapter)
    plan, graph = bucket.plan, artifact.graph(bucket)
    if graph.arena_bytes != plan.arena_bytes:
        raise ArtifactError(
            f"the graph's arena has {graph.arena_bytes} bytes, the manifest says {plan.arena_bytes}"
        )
    if plan.offload_bytes:
        require_room(
            Need(temporary_folder(), (plan.offload_bytes,), "the file of offloaded values", TMPDIR_REMEDY)
        )
    run = execute(
        graph,
        bucket.graph_inputs(raw_batch),
        adapter,
        artifact.tensor,
        artifact.constants(bucket),
        progress,
    )
    reference_loss, cosine, error = None, None, None
    model = reference_of(artifact, reference)
    if model is not None:
        user_batch = {name: tensor for name, tensor in bucket.checked(raw_batch).items() if name != SUBSET}
        reference_loss, gradients = reference_step(artifact, user_batch, adapter, model)
        cosine, error = _compare(run.gradients, gradients)
    elif batch is None and manifest.sample:
        reference_loss = manifest.sample.loss
    return SimulationReport(
        planned_peak_bytes=plan.planned_peak_bytes,
        simulated_peak_bytes=run.touched_bytes
        + plan.gradients_bytes
        + plan.optimizer_bytes
        + plan.weights_bytes
        + plan.runtime_bytes
        + plan.code_bytes,
        loss=run.loss,
        reference_loss=reference_loss,
        loss_relative_error=None if reference_loss is None else _relative_error(run.loss, reference_loss),
        gradient_cosine_min=cosine,
        gradient_relative_error_max=error,
        reference=None if model is None else model.words,
        predicted_step_seconds=plan.predicted_step_seconds,
        timeline=run.timeline,
        manifest_sha256=artifact.sha256,
        exact=bucket.batch.subset_size is None,
    )


def _perturbed(adapter: Mapping[str, Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: value if bool(value.any()) else PERTURBATION * torch.randn(value.shape, generator=generator)
        for name, value in adapter.items()
    }


def _relative_error(actual: float, expected: float) -> float:
    return abs(actual - expected) / max(abs(expected), 1e-30)


def _compare(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> tuple[float, float]:
    """Least cosine and largest relative error over all gradients; NaN if any value of them is."""
    cosines, errors = [], []
    for name, gradient in actual.items():
        ours, theirs = gradient.double().flatten(), expected[name].double().flatten()
        norms = ours.norm(), theirs.norm()
        if not any(norms):
            continue
        cosines.append(ours @ theirs / (norms[0] * norms[1]).clamp(min=1e-300))
        errors.append((ours - theirs).norm() / torch.maximum(*norms))
    if not cosines:
        return 1.0, 0.0
    return torch.stack(cosines).min().item(), torch.stack(errors).max().item()
