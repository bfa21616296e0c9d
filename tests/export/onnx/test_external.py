"""ONNX models of a bundle that name files beside those that the manifest lists."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.onnx_layout import EVAL_MODEL, TRAINING_MODEL
from lowpeak_export.onnx.external import require_listed
from tests.export.onnx.compiled import adapted, onnx_artifact
from tests.tiny import tiny_llama


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("external") / "artifact"
    return onnx_artifact(folder, adapted(tiny_llama(num_hidden_layers=1)))


def _changed(artifact: Artifact, folder: Path, name: str, change: Callable[[bytes], bytes]) -> Artifact:
    """With hashes that fit."""
    shutil.copytree(artifact.path, folder)
    data = change((folder / name).read_bytes())
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return Artifact.open(folder)


def test_what_the_compiler_writes_is_listed(artifact: Artifact) -> None:
    require_listed(artifact)


@pytest.mark.parametrize("name", [TRAINING_MODEL, EVAL_MODEL])
@pytest.mark.parametrize("location", ["../outside", "/etc/passwd", "unlisted", "./weights.safetensors"])
def test_other_files_are_refused(name: str, location: str, artifact: Artifact, tmp_path: Path) -> None:
    def initializer(data: bytes) -> bytes:
        model = onnx.load_model_from_string(data)
        tensor = next(each for each in model.graph.initializer if each.external_data)
        next(entry for entry in tensor.external_data if entry.key == "location").value = location
        return model.SerializeToString()

    changed = _changed(artifact, tmp_path / "artifact", name, initializer)
    with pytest.raises(ArtifactError, match=rf"{name} of the artifact .* reads the file '{location}', which"):
        require_listed(changed)


def test_tensors_in_attributes_are_looked_at(artifact: Artifact, tmp_path: Path) -> None:
    def attribute(data: bytes) -> bytes:
        model = onnx.load_model_from_string(data)
        tensor = onnx.TensorProto(name="x", data_type=1, dims=[1], data_location=1)
        tensor.external_data.add(key="location", value="../outside")
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["x"], value=tensor))
        return model.SerializeToString()

    with pytest.raises(ArtifactError, match=r"reads the file '\.\./outside'"):
        require_listed(_changed(artifact, tmp_path / "artifact", TRAINING_MODEL, attribute))


def test_a_damaged_model_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"training_model\.onnx of the artifact .* cannot be read"):
        require_listed(_changed(artifact, tmp_path / "artifact", TRAINING_MODEL, lambda data: data[:-9]))
