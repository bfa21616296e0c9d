"""Signals, closed streams and exit codes of the command line, in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lowpeak.cli import main
from lowpeak.cli.signals import Ended, ended_by_signals, stop_by_signals
from lowpeak.cli.training import exit_code
from lowpeak_export.executorch.library import RUNNER_VARIABLE
from lowpeak_runtime.train.checkpoint import CHECKPOINT, read_progress
from lowpeak_runtime.train.stop import STOPPED
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data
from tests.native.runner import runner

LOWPEAK = [sys.executable, "-m", "lowpeak.cli"]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = save_checkpoint(tmp_path_factory.mktemp("signals") / "tiny")
    folder = checkpoint.with_name("artifact")
    sizes = ["--budget-mb", "20", "--seq-len", str(SEQ_LEN), "--rank", "4"]
    assert main(["compile", str(checkpoint), *sizes, "--out", str(folder), "--json"]) == 0
    return folder


CONTAINER = ["unshare", "--pid", "--fork", "--mount-proc"]
"""What is started in it is its first process, whose signals do nothing by default."""


@pytest.mark.parametrize("number, before", [(signal.SIGHUP, []), (signal.SIGTERM, CONTAINER)])
def test_a_signal_to_the_command_alone_keeps_the_run(
    artifact: Path, number: signal.Signals, before: list[str], tmp_path: Path
) -> None:
    assert shutil.which("unshare")
    out, metrics, temporary = tmp_path / "run", tmp_path / "metrics.ndjson", tmp_path / "temporary"
    temporary.mkdir()
    arguments = ["train", str(artifact), "--data", str(save_data(tmp_path / "data.jsonl")), "--json"]
    arguments += ["--steps", "100000", "--out", str(out), "--metrics", str(metrics)]
    with subprocess.Popen(
        [*before, *LOWPEAK, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temporary), RUNNER_VARIABLE: str(runner())},
    ) as child:
        while not metrics.exists() or not metrics.read_text():
            assert child.poll() is None
            time.sleep(0.01)
        pid = child.pid
        if before:
            pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        os.kill(pid, number)
        told, errors = child.communicate()
    assert child.returncode == STOPPED, errors
    figures = json.loads(told)
    assert figures["stop_reason"] == number.name
    assert read_progress(out / CHECKPOINT).step == figures["steps"] > 0
    assert (out / "adapter" / "adapter_model.safetensors").is_file()
    assert number.name.encode() in errors and not list(temporary.iterdir())
    assert len(metrics.read_text().splitlines()) == figures["steps"]


def test_the_first_asks_the_second_is_told_the_third_ends(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lowpeak.cli.signals.SAME_SECONDS", 0.0)
    told, asked, insisted = [], [], []
    with (
        ended_by_signals(),
        stop_by_signals(lambda: told.append("stopping")) as stop,
        stop.passed_on(lambda: asked.append(1), lambda: insisted.append(1)),
    ):
        with pytest.raises(Ended):
            os.kill(os.getpid(), signal.SIGTERM)
        stop.heeded = True
        os.kill(os.getpid(), signal.SIGHUP)
        assert (stop.reason, told, asked, insisted) == ("SIGHUP", ["stopping"], [1], [])
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.reason, asked, insisted) == ("SIGHUP", [1], [])
        assert "one more ends it without the steps" in " ".join(capfd.readouterr().err.split())
        with pytest.raises(Ended) as ended:
            os.kill(os.getpid(), signal.SIGINT)
        assert insisted == [1] and ended.value.code == 130


def test_two_at_once_are_one_wish() -> None:
    """As a terminal sends that is closed."""
    with ended_by_signals(), stop_by_signals(lambda: None) as stop:
        stop.heeded = True
        for _ in range(5):
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.reason == "SIGHUP"


def test_what_nohup_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_exit_codes_of_a_run() -> None:
    assert exit_code(None, 10, 10) == exit_code("SIGTERM", 10, 10) == 0
    assert exit_code("SIGTERM", 3, 10) == exit_code("memory pressure: 51 %", 0, 10) == STOPPED
    assert (exit_code("SIGTERM", 0, 10), exit_code("SIGHUP", 0, 10)) == (143, 129)


@pytest.mark.parametrize(
    "redirected, expected",
    [
        (">&-", "stdout is closed: the result cannot be told"),
        ("> /dev/full", "cannot be written to stdout: No space left on device"),
        ("| head -0 2>/dev/null; exit ${PIPESTATUS[0]}", "cannot be written to stdout: Broken pipe"),
    ],
)
def test_a_stdout_that_takes_nothing(redirected: str, expected: str) -> None:
    script = f"{sys.executable} -m lowpeak.cli --version {redirected}"
    # head has gone before anything is printed.
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 1, done
    assert expected in done.stderr and "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_simulate_tells_a_difference(artifact: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(artifact), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["problem"] is None
    other = save_checkpoint(artifact.with_name("other"))
    capfd.readouterr()
    arguments = ["simulate", str(artifact), "--model", str(other), "--json"]
    spoil(other)
    assert main(arguments) == 1
    figures, said = capfd.readouterr()
    problem = json.loads(figures)["problem"]
    assert "the reference's" in problem and problem in " ".join(said.split())


def spoil(checkpoint: Path) -> None:
    """Twice the values of one matrix."""
    from safetensors.torch import load_file, save_file

    file = checkpoint / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.0.mlp.up_proj.weight"] *= 2
    save_file(tensors, file, {"format": "pt"})


def test_a_run_is_not_for_an_artifacts_folder(
    artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = save_data(tmp_path / "data.jsonl")
    arguments = ["train", str(artifact), "--data", str(data), "--steps", "1", "--out", str(artifact)]
    assert main([*arguments, "--json"]) == 2
    assert "holds an artifact (manifest.json)" in json.loads(capfd.readouterr().out)["message"]


INSIDE_TORCH = """
import os, signal, sys
from pathlib import Path

import torch

from lowpeak.cli.signals import ended_by_signals, stop_by_signals
from lowpeak_artifact.folder_lock import COMPILES, reserved
from lowpeak_artifact.private_folder import private_folder
from lowpeak_export.bundle import writing

@torch.library.custom_op("signals::kill", mutates_args=())
def kill(x: torch.Tensor) -> torch.Tensor:
    os.kill(os.getpid(), signal.SIGTERM)
    return x.clone()

base = Path(sys.argv[1])
out = base / "new" / "artifact"
with ended_by_signals(), reserved(out, COMPILES), private_folder("lowpeak-test-", base), writing(out):
    assert len(list(base.glob("new/.artifact*"))) == 2 and list(base.glob("lowpeak-test-*"))
    with stop_by_signals(lambda: None):
        kill(torch.zeros(1))
"""


def test_a_signal_inside_of_torch_raises_nothing_there(tmp_path: Path) -> None:
    """Where it could end by abort, or in a state that torch refuses; what is temporary is removed all the
    same.
    """
    script = [sys.executable, "-c", INSIDE_TORCH, str(tmp_path)]
    ended = subprocess.run(script, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (143, "", "")
    assert not list(tmp_path.iterdir())
