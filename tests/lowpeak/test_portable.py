"""An artifact of the same model is the same wherever model and artifact lay, and names no place."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

import lowpeak
from lowpeak_artifact.artifact import MANIFEST
from lowpeak_compiler.frontend.model.origin import Origin
from lowpeak_export.portable import portable, portable_name, with_floats, without_place
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint


@pytest.mark.parametrize("tokenizer", [True, False])
def test_the_manifest_does_not_depend_on_places(
    tokenizer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here" / "model", tmp_path / "a" / "place" / "of its own" / "model"
    save_checkpoint(here, tokenizer=tokenizer)
    shutil.copytree(here, there)
    os.utime(there / "config.json", (0, 0))
    first = lowpeak.compile_for_device(here, 20, seq_len=SEQ_LEN, out=tmp_path / "here" / "artifact")
    monkeypatch.chdir(there.parent)
    second = lowpeak.compile_for_device(
        "model", 20, seq_len=SEQ_LEN, out=tmp_path / "deep" / "down" / "other"
    )
    assert first.sha256 == second.sha256
    assert (first.path / MANIFEST).read_bytes() == (second.path / MANIFEST).read_bytes()
    for file in first.path.iterdir():
        data = file.read_bytes()
        assert str(tmp_path).encode() not in data, file.name
        assert data == (second.path / file.name).read_bytes()
    manifest = json.loads((first.path / MANIFEST).read_bytes())
    assert manifest["model_name"] == manifest["source"]["path"] == "model"
    assert manifest["adapter_config"]["base_model_name_or_path"] in ("model", None)


def test_a_peft_model_from_a_folder(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "model")
    base = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    artifact = lowpeak.compile_for_device(model, 20, seq_len=SEQ_LEN, out=tmp_path / "artifact")
    assert artifact.manifest.model_name == "model"
    assert str(tmp_path) not in artifact.manifest.to_json()


def test_names_of_the_hub_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert portable_name("org/name") == "org/name"
    (tmp_path / "org" / "name").mkdir(parents=True)
    assert portable_name("org/name") == "name"
    assert portable_name("/nowhere/models/tiny/") == "tiny"
    assert portable_name("C:\\models\\tiny") == "tiny"
    config = {
        "_name_or_path": "org/name",
        "base_model_name_or_path": "./org/name",
        "tokenizer": {"file": "/home/me/x.json", "names": ["~/y", "plain/name"]},
        "limits": [0.0, float("inf"), -float("inf")],
        "rate": 1,
    }
    made = portable(config)
    assert made["_name_or_path"] == made["base_model_name_or_path"] == "name"
    assert made["tokenizer"] == {"file": "x.json", "names": ["y", "plain/name"]}
    assert with_floats(json.loads(json.dumps(made, allow_nan=False)))["limits"] == config["limits"]


def test_what_is_told_of_files_names_no_place(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    told = without_place(f"{model}/tokenizer.json of {tmp_path} is damaged", Origin(model))
    assert str(tmp_path) not in told and told.startswith("model/tokenizer.json of ")
