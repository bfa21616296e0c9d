"""Which files the models of a bundle read beside themselves: those of its manifest, by their plain names."""

from __future__ import annotations

from collections.abc import Iterator

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.onnx_layout import EVAL_MODEL, OPTIMIZER_MODEL, TRAINING_MODEL

LOCATION = "location"


def require_listed(artifact: Artifact) -> None:
    """Raises ArtifactError for a model that cannot be read, or names a file that the manifest does not list:
    ONNX Runtime would open it, wherever it lies.
    """
    try:
        import onnx
    except ImportError as error:
        raise EnvironmentProblem(
            "artifacts for ONNX Runtime need the package onnx: pip install 'lowpeak[onnxruntime]'"
        ) from error
    for name in (TRAINING_MODEL, EVAL_MODEL, OPTIMIZER_MODEL):
        try:
            model = onnx.load_model_from_string(artifact.read(name))
        except ArtifactError:
            raise
        # protobuf raises classes of its own.
        except Exception as error:
            raise ArtifactError(f"{name} of the artifact {artifact.path} cannot be read: {error}") from error
        for message in _messages(model):
            if not isinstance(message, onnx.TensorProto):
                continue
            for entry in message.external_data:
                if entry.key == LOCATION and entry.value not in artifact.manifest.files:
                    raise ArtifactError(
                        f"{name} of the artifact {artifact.path} reads the file {entry.value!r}, which "
                        f"{MANIFEST} does not list; compile the artifact again"
                    )


def _messages(message: object) -> Iterator[object]:
    """The message and all that it holds, however deep: tensors also stand in attributes of nodes."""
    waiting = [message]
    while waiting:
        each = waiting.pop()
        yield each
        for field, value in each.ListFields():  # type: ignore[attr-defined]
            if field.message_type is not None:
                waiting.extend(value if field.is_repeated else [value])
