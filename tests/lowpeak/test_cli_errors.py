"""Mistakes on the command line: the class, the numbers and the exit code of each, without a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lowpeak.cli import compile as compile_verb
from lowpeak.cli import main
from lowpeak_runtime.train.checkpoint import CHECKPOINT, PREVIOUS
from tests.lowpeak.checkpoint import SEQ_LEN, save_checkpoint, save_data

Fail = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("cli") / "tiny")


@pytest.fixture(scope="module")
def artifact(checkpoint: Path) -> Path:
    folder = checkpoint.with_name("artifact")
    assert main(compiling(checkpoint, folder)) == 0
    return folder


@pytest.fixture
def fail(capfd: pytest.CaptureFixture[str]) -> Fail:
    """Runs the arguments with --json and gives the error object; the exit code is to be `code`."""

    def run(*arguments: object, code: int = 2) -> dict[str, Any]:
        capfd.readouterr()
        assert main([*map(str, arguments), "--json"]) == code
        out, err = capfd.readouterr()
        assert out.count("\n") == 1
        assert "Traceback" not in err
        error: dict[str, Any] = json.loads(out)
        assert error["message"]
        return error

    return run


def compiling(model: Path | str, out: Path, **options: object) -> list[str]:
    chosen = {"budget-mb": 20, "seq-len": SEQ_LEN, "rank": 4, "out": out, **options}
    return ["compile", str(model), *(str(part) for name in chosen for part in (f"--{name}", chosen[name]))]


def test_rank_0(checkpoint: Path, tmp_path: Path, fail: Fail) -> None:
    error = fail(*compiling(checkpoint, tmp_path / "a", rank=0))
    assert error["error"] == "ModelError" and error["rank"] == 0


@pytest.mark.parametrize("verb", [["compile", "--budget-mb", "1", "--out", "nowhere"], ["estimate"]])
def test_an_unknown_name_is_refused_before_torch_is_imported(verb: list[str]) -> None:
    program = (
        "import sys; from lowpeak.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(9 if {'torch', 'transformers'} & set(sys.modules) else code)"
    )
    arguments = [verb[0], "config:gpt-5", *verb[1:], "--seq-len", "8"]
    run = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.startswith("unknown model config:gpt-5; known are llama-3.2-1b")


def test_no_layer_of_that_name(checkpoint: Path, tmp_path: Path, fail: Fail) -> None:
    error = fail(*compiling(checkpoint, tmp_path / "a", **{"target-modules": "nowhere"}))
    assert error["error"] == "ModelError" and "nowhere" in error["message"]


def test_budget_too_small(checkpoint: Path, tmp_path: Path, fail: Fail) -> None:
    error = fail(*compiling(checkpoint, tmp_path / "a", **{"budget-mb": 1}))
    assert error["error"] == "BudgetTooSmall"
    assert error["budget_bytes"] == 1_000_000 < error["minimum_bytes"]


def test_output_folder_in_use(checkpoint: Path, artifact: Path, fail: Fail) -> None:
    error = fail(*compiling(checkpoint, artifact))
    assert error["error"] == "ArtifactError" and str(artifact) in error["message"]


def test_unknown_config(tmp_path: Path, fail: Fail) -> None:
    error = fail(*compiling("config:nothing", tmp_path / "a"))
    assert error["error"] == "ModelError" and "llama-3.2-3b" in error["message"]


@pytest.mark.parametrize("verb", ["compile", "estimate"])
def test_sequence_over_the_models_maximum(checkpoint: Path, tmp_path: Path, fail: Fail, verb: str) -> None:
    long = compiling(checkpoint, tmp_path / "a", **{"seq-len": 4096})
    error = fail(*(long if verb == "compile" else ["estimate", str(checkpoint), "--seq-len", "4096"]))
    assert error["error"] == "ModelError"
    assert error["seq_len"] == 4096 and error["maximum"] == 128


def test_nan_weights(tmp_path: Path, fail: Fail) -> None:
    error = fail(*compiling(save_checkpoint(tmp_path / "nan", nan=True), tmp_path / "a"))
    assert error["error"] == "ModelError" and "up_proj" in error["message"]
    assert not (tmp_path / "a").exists()


def test_missing_tokenizer(tmp_path: Path, fail: Fail) -> None:
    folder = tmp_path / "a"
    assert main(compiling(save_checkpoint(tmp_path / "tokens", tokenizer=False), folder)) == 0
    error = fail("train", folder, "--data", save_data(tmp_path / "data.jsonl"), "--steps", 1)
    assert error["error"] == "DataError" and "tokenizer" in error["message"]


@pytest.mark.parametrize("verb", ["simulate", "train"])
def test_malformed_data(artifact: Path, tmp_path: Path, fail: Fail, verb: str) -> None:
    data = save_data(tmp_path / "data.jsonl", '{"text": "fine"}\n{"text": \n')
    steps = ["--steps", "1", "--out", str(tmp_path / "run")] if verb == "train" else []
    error = fail(verb, artifact, "--data", data, *steps)
    assert error["error"] == "DataError" and error["line"] == 2


def test_tampered_artifact(checkpoint: Path, tmp_path: Path, fail: Fail) -> None:
    assert main(compiling(checkpoint, tmp_path / "a")) == 0
    weights = tmp_path / "a" / "weights.ptd"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    error = fail("simulate", tmp_path / "a")
    assert error["error"] == "ArtifactError" and "sha256" in error["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compile", "x", "--budget-mb", "much"], "budget-mb"),
        (["compile", "x", "--loss", "none"], "loss"),
        (["train", "x", "--data", "y", "--steps", "0"], "steps"),
        (["train", "x", "--data", "y", "--steps", "1", "--learning-rate", "-1"], "--learning-rate"),
        (["estimate", "x", "--seq-len", "12,many"], "seq-len"),
        (["deploy", "x", "--run", "--steps", "1"], "--run needs --data and --steps"),
        (["deploy", "x", "--data", "y", "--steps", "1"], "are for --run only"),
        (["nothing"], "nothing"),
    ],
)
def test_bad_option(arguments: list[str], said: str, fail: Fail) -> None:
    assert said in fail(*arguments)["message"]


def test_what_cannot_be_deployed(
    artifact: Path, fail: Fail, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LOWPEAK_ANDROID_RUNNER", raising=False)
    both = fail("deploy", artifact, "--app", "--runner", tmp_path)
    assert "--runner is for --no-app: the app has its own" in both["message"]
    assert "None is shipped with lowpeak" in fail("deploy", artifact, "--no-app", code=1)["message"]
    assert "is no artifact" in fail("deploy", tmp_path)["message"]
    assert "is no artifact" in fail("pull", tmp_path)["message"]


def test_message_for_people(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", str(tmp_path / "nowhere")]) == 2
    out, err = capfd.readouterr()
    assert not out
    assert "no artifact at" in err and "Traceback" not in err
    assert main(["simulate", str(tmp_path / "nowhere"), "--debug"]) == 2
    assert "Traceback" in capfd.readouterr().err


def test_unforeseen_error(fail: Fail, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr(compile_verb, "require_model", broken)
    assert fail(*compiling("demo", tmp_path / "a"), code=1)["error"] == "KeyError"


def test_interrupt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compile_verb, "require_model", interrupted)
    assert main(compiling("demo", tmp_path / "a")) == 130


OPTIONS = ["--budget-mb", "20", "--seq-len", "8", "--out", "out"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["compile", "x", "--budget", "1"], "no option --budget; did you mean --budget-mb?"),
        (["compile", "x", "--lr", "1"], "no option --lr for compile; train and deploy have it"),
        (["train", "x", "--learning_rate", "1"], "no option --learning_rate; did you mean --learning-rate?"),
        (["compil"], "Did you mean 'compile'?"),
        (["compile", "no-such-folder", *OPTIONS], "there is no no-such-folder"),
        (["compile", "demo", *OPTIONS, "--budget-mb", "nan"], "budget_mb is nan"),
        (["compile", "demo", *OPTIONS, "--budget-mb", "0"], "budget_mb is 0.0"),
        (["compile", "demo", *OPTIONS, "--seq-len", "0"], "seq_len is 0"),
        (["compile", "demo", *OPTIONS, "--group-size", "48"], "group_size is 48"),
        (["compile", "demo", *OPTIONS, "--rank", "-1"], "rank is -1"),
        (["compile", "demo", *OPTIONS, "--target-modules", ","], "target_modules names no layer"),
        (["compile", "demo", *OPTIONS, "--target", "tensorrt"], "'executorch', 'onnxruntime'"),
        (["compile", "demo", *OPTIONS, "--device", "toaster"], "unknown device 'toaster'"),
        (["estimate", "demo", "--seq-len", "1"], "seq_len is 1"),
        (["simulate", "no-such-folder"], "no artifact at no-such-folder: it is missing"),
        (["train", ".", "--data", "no.jsonl", "--steps", "1"], "there is no no.jsonl"),
        (["train", ".", "--data", ".", "--steps", "1"], ". is a folder, not a JSONL file"),
        (["deploy", ".", "--run", "--data", "no.jsonl", "--steps", "1"], "there is no no.jsonl"),
        (["pull", "nowhere"], "no artifact at nowhere: it is missing"),
    ],
)
def test_refused_before_torch_is_loaded(arguments: list[str], said: str) -> None:
    """As a new process: what is wrong is said in a moment, and nothing else is."""
    script = (
        "import sys; from lowpeak.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(99 if {'torch', 'transformers', 'peft'} & set(sys.modules) else code)"
    )
    command = [sys.executable, "-W", "default", "-c", script, *arguments]
    run = subprocess.run(command, capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "")
    assert said in " ".join(run.stderr.split())
    assert len(run.stderr.splitlines()) == 1


def test_only_the_first_line_of_a_foreign_error_is_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("cannot trace\ngraph():\n    %x : [num_users=1] = placeholder[target=x]")

    monkeypatch.setattr(compile_verb, "require_model", broken)
    command = compiling("demo", tmp_path / "a")
    assert main(command) == 1
    err = capfd.readouterr().err
    assert "RuntimeError: cannot trace" in err and "placeholder" not in err
    assert main([*command, "--debug"]) == 1
    assert "placeholder" in capfd.readouterr().err


def test_out_is_a_link_to_nothing(checkpoint: Path, artifact: Path, tmp_path: Path, fail: Fail) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    words = (
        f"{tmp_path / 'out'} is a link to {tmp_path / 'gone'}, which is missing: make that, or give another"
    )
    data = save_data(tmp_path / "data.jsonl")
    for verb in (
        compiling(checkpoint, tmp_path / "out"),
        ["train", artifact, "--data", data, "--steps", 1, "--out", tmp_path / "out"],
    ):
        error = fail(*verb, code=1)
        assert error["error"] == "EnvironmentProblem" and error["message"].startswith(words)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("name", [CHECKPOINT, PREVIOUS])
def test_a_folder_where_the_checkpoints_go(name: str, artifact: Path, tmp_path: Path, fail: Fail) -> None:
    (tmp_path / "out" / name).mkdir(parents=True)
    data = save_data(tmp_path / "data.jsonl")
    error = fail("train", artifact, "--data", data, "--steps", 1, "--out", tmp_path / "out", code=2)
    assert error["message"].startswith(f"{tmp_path / 'out' / name} is a folder, where the run writes a file")
    assert [each.name for each in (tmp_path / "out").iterdir()] == [name]
