"""`lowpeak generate`: what it refuses, and what it leaves when it is ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lowpeak import compile_for_device, generate
from lowpeak.cli import main
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import DataError
from lowpeak_export.executorch.library import OPS_VARIABLE, RUNNER_VARIABLE
from tests.model.tiny import tiny_model
from tests.runtime_py.tokenizer_kinds import kind

OTHER = """#!/bin/sh
echo $$ > "$TMPDIR/../pid"
echo '{"event": "token", "id": 5, "text": "a"}'
exec sleep 60
"""
"""A runner that takes long: the real one answers before a signal can come."""


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    tokenizer = kind("byte BPE").tokenizer
    model = tiny_model("llama", vocab_size=len(tokenizer), num_hidden_layers=1)
    folder = tmp_path_factory.mktemp("generate") / "artifact"
    return compile_for_device(model, 60, seq_len=32, kernels="lowpeak", tokenizer=tokenizer, out=folder)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--temperature", "inf"], "finite number, not inf"),
        (["--temperature", "nan"], "temperature"),
        (["--seed", "9" * 20], "seed"),
        (["--max-tokens", "0"], "max-tokens"),
        (["--run", "a", "--checkpoint", "b"], "not both"),
        (["--run", "nowhere"], "there is no checkpoint nowhere"),
    ],
)
def test_values_that_make_no_sense(
    artifact: Artifact, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", str(artifact.path), "--prompt", "a", "--json", *options]) == 2
    assert words in json.loads(capsys.readouterr().out)["message"]


def test_a_prompt_that_is_no_text(artifact: Artifact) -> None:
    with pytest.raises(DataError, match=r"'\\udcff', which is no character"):
        generate(artifact, "a\udcff")
    for numbers in ({"temperature": float("inf")}, {"seed": 2**63}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match=next(iter(numbers))):
            generate(artifact, "a", **numbers)  # type: ignore[arg-type]


def test_a_runner_that_is_not_there_is_named(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(RUNNER_VARIABLE, "/nowhere/runner")
    assert main(["generate", str(artifact.path), "--prompt", "a"]) == 1
    assert "needs /nowhere/runner, which LOWPEAK_RUNNER names" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_all_of_it(artifact: Artifact, number: signal.Signals, tmp_path: Path) -> None:
    runner, work = tmp_path / "runner", tmp_path / "work"
    runner.write_text(OTHER)
    runner.chmod(0o755)
    work.mkdir()
    told = {RUNNER_VARIABLE: str(runner), OPS_VARIABLE: str(runner), "TMPDIR": str(work)}
    command = [sys.executable, "-m", "lowpeak.cli", "generate", str(artifact.path), "--prompt", "a"]
    with subprocess.Popen(
        command, env={**os.environ, **told}, stdout=subprocess.PIPE, start_new_session=True
    ) as child:
        assert child.stdout is not None and child.stdout.read(1) == b"a"
        child.send_signal(number)
        child.communicate()
    assert child.returncode == 128 + number
    assert not [path for path in work.iterdir() if path.name.startswith("lowpeak-")]
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}").exists()
