"""`--expect`, `--signed-by` and `lowpeak sign`, at every verb that opens an artifact."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import minisign
import pytest
import typer

import lowpeak
from lowpeak.cli import app, main
from lowpeak.cli.mistakes import options_by_verb
from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError
from lowpeak_runtime.train.session import Job
from tests.tiny import planned_step, tiny_llama, write_artifact

OPENING = ("simulate", "train", "deploy", "pull", "generate", "export-gguf")
OTHER = "0" * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    step = planned_step(tiny_llama(num_hidden_layers=1))
    return write_artifact(tmp_path_factory.mktemp("trust") / "artifact", step)


def _arguments(verb: str, folder: Path) -> list[str]:
    data = folder.with_name("data.jsonl")
    data.write_text('{"text": "hello"}\n')
    own = {
        "train": ["--data", str(data), "--steps", "1"],
        "generate": ["--prompt", "hello"],
    }
    if verb == "export-gguf":
        (folder.with_name("adapter")).mkdir(exist_ok=True)
        (folder.with_name("adapter") / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2}')
        from safetensors.torch import save_file

        save_file({}, folder.with_name("adapter") / "adapter_model.safetensors")
        return [verb, str(folder.with_name("adapter")), "--base", str(folder)]
    return [verb, str(folder), *own.get(verb, [])]


def test_every_verb_that_opens_an_artifact_has_the_options() -> None:
    options = options_by_verb(typer.main.get_command(app))
    opening = {verb for verb, names in options.items() if "--expect" in names}
    assert opening == {*OPENING, "sign"}
    assert {verb for verb, names in options.items() if "--signed-by" in names} == set(OPENING)


@pytest.mark.parametrize("verb", OPENING)
def test_another_artifact_is_refused(verb: str, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*_arguments(verb, folder), "--expect", OTHER, "--json"]) == 2
    told = json.loads(capfd.readouterr().out)
    assert told["error"] == "ArtifactError" and f"expected is {OTHER}" in told["message"]
    key = minisign.KeyPair.generate().public_key.to_base64().decode()
    assert main([*_arguments(verb, folder), "--signed-by", key, "--json"]) == 2
    assert "is not signed" in json.loads(capfd.readouterr().out)["message"]


def test_sign_and_simulate(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = minisign.KeyPair.generate()
    (tmp_path / "k.key").write_bytes(bytes(pair.secret_key))
    (tmp_path / "k.pub").write_bytes(bytes(pair.public_key))
    found = Artifact.open(folder).sha256
    assert main(["sign", str(folder), "--key", str(tmp_path / "k.key"), "--expect", OTHER]) == 2
    assert main(["sign", str(folder), "--key", str(tmp_path / "k.key"), "--expect", found, "--json"]) == 0
    out = capfd.readouterr().out.splitlines()[-1]
    signature = folder / f"{MANIFEST}.minisig"
    assert json.loads(out) == {
        "artifact": str(folder), "manifest_sha256": found, "signature": str(signature)
    }  # fmt: skip
    monkeypatch.setenv("LOWPEAK_SIGNED_BY", str(tmp_path / "k.pub"))
    assert main(["simulate", str(folder), "--expect", found, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["manifest_sha256"] == found
    signature.unlink()
    assert main(["simulate", str(folder), "--json"]) == 2


def test_a_job_is_of_one_artifact(folder: Path, tmp_path: Path) -> None:
    artifact = lowpeak.Artifact.open(folder)
    job = Job.from_json(Job.of(artifact, tmp_path, steps=1).to_json())
    assert job.expect == artifact.sha256 == job.read_manifest().sha256
    with pytest.raises(ArtifactError, match="is not the artifact that was expected"):
        dataclasses.replace(job, expect=OTHER).read_manifest()
    without = json.loads(job.to_json())
    del without["expect"]
    assert Job.from_json(json.dumps(without)).read_manifest() == artifact.manifest
