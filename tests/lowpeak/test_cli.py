"""Each verb on a tiny checkpoint: what it prints for machines and for people, and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lowpeak.cli import main
from lowpeak.cli.output import PIPE_COLUMNS
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data

COMPILE = ["--budget-mb", "20", "--seq-len", str(SEQ_LEN), "--rank", "4"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("cli") / "tiny")


@pytest.fixture(scope="module")
def artifact(checkpoint: Path) -> Path:
    folder = checkpoint.with_name("artifact")
    assert main(["compile", str(checkpoint), *COMPILE, "--out", str(folder), "--json"]) == 0
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return save_data(tmp_path / "data.jsonl")


def printed(capfd: pytest.CaptureFixture[str]) -> Any:
    """The one JSON value on stdout."""
    out = capfd.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_compile(checkpoint: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "artifact"
    arguments = ["compile", str(checkpoint), *COMPILE, "--out", str(folder), "--json"]
    assert main([*arguments, "--target-modules", "q_proj,v_proj"]) == 0
    figures = printed(capfd)
    assert set(figures) >= {
        "artifact",
        "budget_bytes",
        "planned_peak_bytes",
        "arena_bytes",
        "arena_lower_bound_bytes",
        "seconds",
        "planned_anonymous_bytes",
        "predicted_step_seconds",
        "by_category",
    }
    assert figures["artifact"] == str(folder)
    assert "kernels='lowpeak'" in figures["generate_problem"]
    assert figures["arena_lower_bound_bytes"] <= figures["arena_bytes"] < figures["planned_peak_bytes"]
    assert figures["planned_peak_bytes"] <= figures["budget_bytes"] == 20_000_000
    adapted = load_file(folder / "adapter.safetensors")
    assert {name.split(".")[-4] for name in adapted} == {"q_proj", "v_proj"}


def test_several_sequence_lengths(
    checkpoint: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "artifact")
    sizes = ["--budget-mb", "20", "--seq-len", f"8,{SEQ_LEN}", "--rank", "4"]
    assert main(["compile", str(checkpoint), *sizes, "--out", folder, "--json"]) == 0
    buckets = printed(capfd)["buckets"]
    assert [bucket["seq_len"] for bucket in buckets] == [8, SEQ_LEN]
    assert buckets[0]["planned_peak_bytes"] < buckets[1]["planned_peak_bytes"] <= 20_000_000
    assert main(["simulate", folder, "--seq-len", "8", "--json"]) == 0
    assert printed(capfd)["planned_peak_bytes"] == buckets[0]["planned_peak_bytes"]
    assert main(["train", folder, "--data", str(data), "--steps", "2", "--json"]) == 0
    assert printed(capfd)["planned_peak_bytes"] == buckets[1]["planned_peak_bytes"]


def test_compile_for_people(checkpoint: Path, artifact: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compile", str(checkpoint), *COMPILE, "--out", str(artifact), "--overwrite"]) == 0
    out, err = capfd.readouterr()
    assert "planned peak" in out and "20.0 MB" in out
    assert "compiling" in err


def test_simulate(artifact: Path, data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(artifact), "--json"]) == 0
    sample = printed(capfd)
    assert set(sample) >= {
        "planned_peak_bytes",
        "simulated_peak_bytes",
        "loss",
        "reference_loss",
        "loss_relative_error",
        "gradient_cosine_min",
        "gradient_relative_error_max",
        "predicted_step_seconds",
    }
    assert sample["simulated_peak_bytes"] <= sample["planned_peak_bytes"]
    assert sample["loss_relative_error"] < 1e-5 and sample["gradient_cosine_min"] > 0.99999
    assert main(["simulate", str(artifact), "--data", str(data), "--json"]) == 0
    of_data = printed(capfd)
    assert of_data["loss"] != sample["loss"] and of_data["loss_relative_error"] < 1e-5
    assert main(["simulate", str(artifact)]) == 0
    out = capfd.readouterr().out
    assert "gradients cosine" in out and "activation" in out
    assert all(len(line) <= PIPE_COLUMNS for line in out.splitlines())


def test_train_and_resume(
    artifact: Path, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", str(artifact), "--data", str(data), "--out", str(tmp_path / "run")]
    arguments += ["--learning-rate", "0.01", "--clip", "1", "--warmup", "1"]
    assert main([*arguments, "--steps", "2", "--json"]) == 0
    first = printed(capfd)
    assert set(first) >= {
        "steps",
        "losses",
        "step_seconds",
        "tokens_per_second",
        "planned_peak_bytes",
        "peak_anonymous_bytes",
        "peak_rss_bytes",
        "planned_anonymous_bytes",
        "adapter",
    }
    assert first["steps"] == len(first["losses"]) == 2
    assert first["peak_rss_bytes"] > first["peak_anonymous_bytes"]
    assert (Path(first["adapter"]) / "adapter_config.json").exists()
    assert main([*arguments, "--steps", "3"]) == 2
    assert "holds a training run of 2 steps: resume it" in " ".join(capfd.readouterr().err.split())
    assert main([*arguments, "--steps", "3", "--resume", "--json"]) == 0
    second = printed(capfd)
    assert second["steps"] == 3 and second["start_step"] == 2 and len(second["losses"]) == 1


NINE_TOO_LONG = (
    '{"prompt": "a prompt of 22 letters", "completion": "b"}\n' * 9 + '{"prompt": "a", "completion": "b"}\n'
)


def test_what_is_left_out_is_said(artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, metrics = save_data(tmp_path / "nine.jsonl", NINE_TOO_LONG), tmp_path / "metrics.ndjson"
    arguments = ["train", str(artifact), "--data", str(data), "--steps", "11", "--metrics", str(metrics)]
    assert main([*arguments, "--out", str(tmp_path / "json"), "--json"]) == 0
    out, err = capfd.readouterr()
    figures = json.loads(out)["data"]
    assert {name: figures[name] for name in ("examples", "seen", "dropped", "truncated", "enough")} == {
        "examples": 10, "seen": 10, "dropped": 9, "truncated": 0, "enough": 23,
    }  # fmt: skip
    # Each epoch has the one example, of a prompt, an answer and the end.
    assert (figures["tokens"], figures["trainable_tokens"]) == (33, 22)
    said = (
        "left out: 9 of 10 examples seen have no token to train on within the sequence length; compile with"
    )
    assert f"{said} --seq-len 23 or more" in err
    assert json.loads(metrics.read_text().splitlines()[-1])["examples"] == figures
    assert main([*arguments, "--out", str(tmp_path / "prepared"), "--prepare"]) == 0
    out, err = capfd.readouterr()
    assert "10 of 10 examples seen, 9 left out, 0 truncated; 33 tokens, 22 with a loss" in " ".join(
        out.split()
    )
    assert said in err
    assert main([*arguments, "--out", str(tmp_path / "resumed"), "--json"]) == 0
    capfd.readouterr()
    save_data(data, NINE_TOO_LONG + NINE_TOO_LONG)
    assert main([*arguments, "--out", str(tmp_path / "resumed"), "--resume", "--json"]) == 2
    assert "is a checkpoint of a run on other data (sha256 " in json.loads(capfd.readouterr().out)["message"]


def test_a_bad_line_is_named(artifact: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = save_data(tmp_path / "bad.jsonl", '{"text": "good"}\n{"text": ""}\n')
    arguments = ["train", str(artifact), "--data", str(data), "--steps", "2", "--out", str(tmp_path / "run")]
    assert main([*arguments, "--json"]) == 2
    error = json.loads(capfd.readouterr().out)
    assert (error["error"], error["line"]) == ("DataError", 2) and "line 2: has no token" in error["message"]


def test_training_folder_lies_beside_the_artifact(artifact: Path, data: Path) -> None:
    assert main(["train", str(artifact), "--data", str(data), "--steps", "1", "--optimizer", "sgd"]) == 0
    assert (artifact.with_name("artifact-trained") / "adapter" / "adapter_model.safetensors").exists()


@pytest.mark.thorough
def test_estimate(checkpoint: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["estimate", str(checkpoint), "--seq-len", "8,16", "--rank", "4"]
    assert main([*arguments, "--json"]) == 0
    rows = printed(capfd)
    techniques = ["lora", "+int4", "+recompute", "+chunked loss"]
    assert [(row["seq_len"], row["technique"]) for row in rows] == [
        (n, t) for n in (8, 16) for t in techniques
    ]
    for row in rows:
        assert set(row) == {"seq_len", "technique", "peak_bytes", "by_category", "step_seconds"}
        assert row["peak_bytes"] == sum(row["by_category"].values())
    assert main([*arguments[:2], "--seq-len", "8", "--budget-mb", "20,1"]) == 0
    out, err = capfd.readouterr()
    assert "within 20 MB" in " ".join(out.split()) and "+chunked loss" in out
    assert "no plan for 8 tokens within 1 MB" in err


def test_the_console_script_prints_json_and_nothing_else(checkpoint: Path, tmp_path: Path) -> None:
    python = [sys.executable, "-W", "default"]
    command = [*python, "-m", "lowpeak.cli", "compile", str(checkpoint), *COMPILE, "--json"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    run = subprocess.run(
        [*command, "--out", str(tmp_path / "artifact")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert run.returncode == 0
    assert json.loads(run.stdout)["artifact"] == str(tmp_path / "artifact")
    assert all("compiling" in line for line in run.stderr.splitlines() if line.strip())


def test_help_imports_neither_torch_nor_transformers() -> None:
    script = (
        "import sys; from lowpeak.cli import main; assert main(['--help']) == 0; "
        "sys.exit(bool({'torch', 'transformers', 'peft', 'highspy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for verb in ("estimate", "compile", "simulate", "train", "demo"):
        assert verb in run.stdout
