"""`export-gguf` of a run's folder: whose base is found, or named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from peft import LoraConfig

from lowpeak import compile_for_device, export_gguf, train
from lowpeak.cli import main
from lowpeak_artifact.artifact import MANIFEST
from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.gguf_file import GgufFile
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data


def test_a_run_is_exported_for_the_base_that_its_artifact_says(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    checkpoint = save_checkpoint(tmp_path / "tiny")
    lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")
    artifact = compile_for_device(str(checkpoint), 20, seq_len=SEQ_LEN, lora=lora, out=tmp_path / "artifact")
    run = tmp_path / "artifact-trained"
    train(artifact, save_data(tmp_path / "data.jsonl"), steps=2, out=run)
    assert main(["export-gguf", str(run), "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told == {
        "file": str(run / "adapter.gguf"),
        "architecture": "llama",
        "layers": 7,
        "ranks": [4],
        "alpha": 8.0,
        "file_bytes": (run / "adapter.gguf").stat().st_size,
    }
    assert len(GgufFile(run / "adapter.gguf").tensors) == 14

    # Beside a run of another name there is only what the adapter itself names.
    moved = run.rename(tmp_path / "run")
    assert export_gguf(moved).layers == 7
    renamed = checkpoint.rename(tmp_path / "renamed")
    unknown = f"the adapter's config names the base '{checkpoint.name}': there is no .* with --base"
    with pytest.raises(ModelError, match=unknown):
        export_gguf(moved)
    for base in (artifact, artifact.path, renamed):
        assert export_gguf(moved, base=base, out=tmp_path / "adapter.gguf").layers == 7
    # Nor is an artifact of that name taken which the run was not of.
    manifest = artifact.path / MANIFEST
    manifest.write_text(manifest.read_text().replace("generic-phone", "another-phone"))
    with pytest.raises(ModelError, match=unknown):
        export_gguf(moved.rename(run))
