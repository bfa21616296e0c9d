"""The session of an artifact's target, imported when asked for."""

from __future__ import annotations

from lowpeak_artifact.manifest import Manifest
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import ONNXRUNTIME, Job, Session


def prepare_process(manifest: Manifest, options: OptimizerOptions) -> None:
    """Loads and warms up what is no part of what training needs, before memory is measured."""
    if manifest.target == ONNXRUNTIME:
        from lowpeak_export.onnx.runtime import require_runtime

        require_runtime()
    else:
        from lowpeak_runtime.train.executorch_session import load_runtime
        from lowpeak_runtime.train.optimizer import warm_up

        load_runtime(manifest.kernels)
        warm_up(options)


def open_session(job: Job, manifest: Manifest) -> Session:
    """The session of the artifact's target. Raises ArtifactError, EnvironmentProblem."""
    if manifest.target == ONNXRUNTIME:
        from lowpeak_runtime.train.onnx_session import OnnxSession

        return OnnxSession(job, manifest)
    from lowpeak_runtime.train.executorch_session import ExecuTorchSession

    return ExecuTorchSession(job, manifest)
