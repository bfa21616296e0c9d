"""The optimizer model of one training run on ONNX Runtime, where options are part of the model."""

from __future__ import annotations

from pathlib import Path

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.onnx_layout import OPTIMIZER_MODEL
from lowpeak_export.onnx.external import require_listed
from lowpeak_runtime.train.optimizer import OptimizerOptions

RUN_OPTIMIZER = "run_optimizer.onnx"
"""In the job's folder for temporary files."""


def write_run_optimizer(artifact: Artifact, options: OptimizerOptions, folder: Path) -> None:
    """Raises ArtifactError for SGD that the runtime lacks, or models that read files which nobody listed.

    Where the bundle's own model does the same, it is taken.
    """
    require_listed(artifact)
    path = folder / RUN_OPTIMIZER
    if _model_of(options) == _model_of(_compiled_for(artifact)):
        path.write_bytes(artifact.read(OPTIMIZER_MODEL))
        return
    import onnx_ir

    from lowpeak_export.onnx.optimizer import adamw_model, sgd_model

    if options.algorithm == "adamw":
        model = adamw_model(
            betas=options.betas,
            epsilon=options.epsilon,
            weight_decay=options.weight_decay,
            clip_norm=options.clip_norm,
        )
    elif options.momentum or options.weight_decay:
        raise ArtifactError(
            f"SGD with momentum {options.momentum} and weight decay {options.weight_decay}: ONNX Runtime's "
            "has neither; train with adamw, or compile for target='executorch'"
        )
    else:
        model = sgd_model(clip_norm=options.clip_norm)
    onnx_ir.save(model, path)


def _compiled_for(artifact: Artifact) -> OptimizerOptions:
    algorithm = artifact.manifest.options.get("optimizer")
    try:
        return OptimizerOptions(algorithm)  # type: ignore[arg-type]
    except ValueError as error:
        raise ArtifactError(f"{MANIFEST} of {artifact.path}: options.optimizer is wrong: {error}") from error


def _model_of(options: OptimizerOptions) -> tuple[object, ...]:
    """All that the model depends on."""
    if options.algorithm == "sgd":
        return options.algorithm, options.momentum, options.weight_decay, options.clip_norm
    return options.algorithm, options.betas, options.epsilon, options.weight_decay, options.clip_norm
