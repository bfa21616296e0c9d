"""simulate compares with the user's model where it is to be had, and says which reference it took."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType as GgmlType
from safetensors.torch import load_file, save_file

import lowpeak
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ModelError
from lowpeak_runtime.simulate.report import SimulationReport
from tests.model.tiny import tiny_model, write_gguf

TOKENS = 16


def _compiled(model: object, out: Path) -> Artifact:
    return lowpeak.compile_for_device(model, 100, seq_len=TOKENS, target="simulator", out=out)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model`, whose two matrices at the ends its config calls one, and its `artifact`."""
    folder = tmp_path_factory.mktemp("reference")
    tiny_model(tie_word_embeddings=True, num_hidden_layers=1).save_pretrained(folder / "model")
    file = folder / "model" / "model.safetensors"
    stored = load_file(file)
    stored["lm_head.weight"] = stored["model.embed_tokens.weight"].flip(0).clone()
    save_file(stored, file, metadata={"format": "pt"})
    _compiled(folder / "model", folder / "artifact")
    return folder


def _exact(report: SimulationReport) -> None:
    assert report.loss_relative_error is not None and report.loss_relative_error < 1e-5
    assert report.gradient_cosine_min is not None and report.gradient_cosine_min > 0.99999


def test_a_folder_is_loaded_by_transformers(folder: Path) -> None:
    report = lowpeak.simulate(folder / "artifact")
    assert report.reference == "transformers' loading of model"
    _exact(report)
    own = lowpeak.simulate(folder / "artifact", reference=folder / "model")
    assert own.reference == f"transformers' loading of {folder / 'model'}"
    assert own.loss == report.loss and own.reference_loss == report.reference_loss


def test_a_wrong_reading_would_show(folder: Path, tmp_path: Path) -> None:
    """The artifact of the tied model, which is what the config says, beside the model of the folder."""
    tied = tiny_model(tie_word_embeddings=True, num_hidden_layers=1)
    artifact = _compiled(tied, tmp_path / "artifact")
    _exact(lowpeak.simulate(artifact))
    with pytest.raises(ModelError, match="is not what was compiled"):
        lowpeak.simulate(artifact, reference=tiny_model(num_hidden_layers=1, intermediate_size=64))
    assert lowpeak.simulate(artifact, reference=folder / "model").loss_relative_error > 1e-3  # type: ignore[operator]
    report = lowpeak.simulate(artifact, reference=tied)
    assert report.reference == "the LlamaForCausalLM that was passed"
    _exact(report)


def test_files_that_are_gone_or_changed(folder: Path, tmp_path: Path) -> None:
    model, artifact = tmp_path / "model", tmp_path / "artifact"
    shutil.copytree(folder / "model", model)
    shutil.copytree(folder / "artifact", artifact)
    assert lowpeak.simulate(artifact).reference == "transformers' loading of model"
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    report = lowpeak.simulate(artifact)
    assert report.reference == (
        "the artifact's own weights (its model has changed since; pass --model to compare with that)"
    )
    _exact(report)
    shutil.rmtree(model)
    report = lowpeak.simulate(artifact)
    assert report.reference == (
        "the artifact's own weights (its model is not beside it; pass --model to compare with it)"
    )
    with pytest.raises(ModelError, match=r"transformers cannot load .*model"):
        lowpeak.simulate(artifact, reference=model)


def test_a_gguf_file_is_loaded_by_transformers_if_asked(tmp_path: Path) -> None:
    types = {"attn_q.weight": GgmlType.Q4_1, "ffn_up.weight": GgmlType.Q8_0, "ffn_down.weight": GgmlType.Q4_0}
    file = tmp_path / "model.gguf"
    write_gguf(file, tiny_model(num_hidden_layers=1), types)
    artifact = _compiled(file, tmp_path / "artifact")
    report = lowpeak.simulate(artifact)
    assert report.reference is not None and "pass --model to compare with the GGUF file" in report.reference
    loaded = lowpeak.simulate(artifact, reference=file)
    _exact(loaded)
    assert loaded.reference_loss == pytest.approx(report.reference_loss, rel=1e-6)


def test_what_the_manifest_says_of_the_source(folder: Path) -> None:
    source = Artifact.open(folder / "artifact").manifest.source
    assert source is not None and source.path == "model" and source.hub_name is None
