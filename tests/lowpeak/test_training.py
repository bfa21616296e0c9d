"""What people see of a run while it goes on: steps in words, lines in place of a bar, interrupts."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lowpeak.cli import main, output
from lowpeak.cli.output import counting
from lowpeak.cli.training import RunView, how_to_continue
from lowpeak_runtime.data.summary import Summary
from lowpeak_runtime.train.checkpoint import read_progress
from lowpeak_runtime.train.stop import STOPPED
from lowpeak_runtime.train.supervisor import StepReport
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = save_checkpoint(tmp_path_factory.mktemp("training") / "tiny")
    folder = checkpoint.with_name("artifact")
    sizes = ["--budget-mb", "20", "--seq-len", str(SEQ_LEN), "--rank", "4"]
    assert main(["compile", str(checkpoint), *sizes, "--out", str(folder), "--json"]) == 0
    return folder


def step(number: int, loss: float, speed: float | None = 20.5) -> StepReport:
    return StepReport(number, loss, 2.0, speed, 1, 1, 1, 1, 12_300_000)


def test_a_step_in_words() -> None:
    told: list[tuple[int, str]] = []
    view = RunView(100, 20_000_000, lambda count, words: told.append((count, words)))
    view.show(step(9, 2.0))
    view.show(step(10, 1.0, speed=None))
    view.stopping()
    seen = Summary(10, 10, 9, 0, 8, 7, 40, 41)
    view.show(dataclasses.replace(step(11, 1.0, speed=None), data=seen))
    assert told[:3] == [
        (10, "loss 2.0000 (2.0000), 20.5 tokens/s, 12.3 of 20.0 MB, 0:03:00 left"),
        (11, "loss 1.0000 (1.4737), 12.3 of 20.0 MB, 0:02:58 left"),
        (11, "stopping after this step"),
    ]
    assert told[3][1].endswith(" left, 9 of 10 examples left out")


def test_what_is_read_before_the_first_step_is_told_now_and_then() -> None:
    told: list[str] = []
    view = RunView(100, 20_000_000, lambda count, words: told.append(words))
    for seen in (64, 100, 128, 200, 300):
        view.reading(Summary(400, seen, seen, 0, 0, 0, 40, 41))
    assert told == [f"encoding the data: {seen} of {seen} examples left out" for seen in (64, 128, 300)]


def test_how_to_continue() -> None:
    assert how_to_continue(3, 10, "SIGTERM").startswith("stopped after 3 of 10 steps (SIGTERM); ")
    assert "nothing is kept" in how_to_continue(0, 10, "SIGTERM")


def test_lines_in_place_of_a_bar(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 0.1, 1.0, 2.0, 12.0, 13.0, 13.5])
    monkeypatch.setattr(output.time, "monotonic", lambda: next(moments))
    with counting("training", 6) as say:
        say(0, "loading")
        say(0, "checking")
        for count in (1, 2, 3, 4):
            say(count, f"loss {count}")
        say(4, "stopping")
    lines = ["0/6: loading", "0/6: checking", "3/6: loss 3", "4/6: stopping"]
    assert capfd.readouterr().err.splitlines() == [f"training {line}" for line in lines]


def test_metrics_and_a_run_by_the_python_worker(
    artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, file = save_data(tmp_path / "data.jsonl"), tmp_path / "metrics.ndjson"
    arguments = ["train", str(artifact), "--data", str(data), "--out", str(tmp_path / "run"), "--steps", "3"]
    assert main([*arguments, "--metrics", str(file), "--engine", "python"]) == 0
    out, err = capfd.readouterr()
    assert "by the Python worker" in out and "budget 20.0 MB" in out
    assert err.splitlines()[0] == "training 0/3: loading torch and transformers"
    assert err.splitlines()[-1].startswith("training 3/3: loss ")
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == [0, 1, 2]
    capfd.readouterr()
    assert main([*arguments, "--resume", "--metrics", str(tmp_path), "--json"]) == 1
    error = json.loads(capfd.readouterr().out)
    assert error["error"] == "EnvironmentProblem" and "metrics" in error["message"]


def test_an_interrupt_keeps_the_run_and_says_how_to_continue(artifact: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lowpeak.cli", "train", str(artifact), "--steps", "5000"]
    command += ["--data", str(save_data(tmp_path / "data.jsonl")), "--out", str(tmp_path / "run")]
    metrics = tmp_path / "metrics.ndjson"
    with subprocess.Popen(
        [*command, "--metrics", str(metrics), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        while not metrics.exists() or not metrics.read_text():
            assert child.poll() is None
        # As a terminal does: to the process that trains as well.
        os.killpg(child.pid, signal.SIGINT)
        out, err = child.communicate()
    assert child.returncode == STOPPED
    kept = read_progress(tmp_path / "run" / "checkpoint.safetensors").step
    assert any(line.endswith("stopping after this step") for line in err.splitlines())
    assert how_to_continue(kept, 5000, "SIGINT") in err.splitlines()
    figures = json.loads(out)
    assert (figures["steps"], figures["stop_reason"]) == (kept, "SIGINT")
    assert (Path(figures["adapter"]) / "adapter_model.safetensors").is_file()
