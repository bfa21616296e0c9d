"""lowpeak-runner generate beside transformers' generate with PEFT's adapter."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import GenerationConfig

from lowpeak import compile_for_device
from lowpeak.demo_model import fetch_demo_model
from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError, DataError
from lowpeak_export.executorch.library import OPS, OPS_VARIABLE, RUNNER_VARIABLE
from lowpeak_runtime.data.prepare import tokenizer_of
from lowpeak_runtime.generate import generate
from lowpeak_runtime.simulate.reference_model import own_weights
from lowpeak_runtime.train.checkpoint import Progress, artifact_id
from lowpeak_runtime.train.checkpoint_tensors import save_checkpoint
from lowpeak_runtime.train.stop import STOPPED
from tests.model.tiny import tiny_model
from tests.native.build import build
from tests.native.encoding import list_files
from tests.native.runner import Runner, runner
from tests.runtime_py.chat import templates
from tests.runtime_py.tokenizer_kinds import kind

SEQ_LEN = 100
BUDGET_MB = 60.0
PROMPT = list(range(5, 26))
ANSWER = 64


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """`generate` finds runner and kernels."""
    monkeypatch.setenv(RUNNER_VARIABLE, str(runner()))
    monkeypatch.setenv(OPS_VARIABLE, str(build() / OPS))


def without_end(**changes: Any) -> PeftModel:
    """A model that never says that it has said all, with a random adapter."""
    model = tiny_model("llama", tie_word_embeddings=True, **changes)
    model.config.eos_token_id = None
    adapted = get_peft_model(
        model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    ).eval()
    torch.manual_seed(1)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.05)
    return adapted


def with_template() -> Any:
    tokenizer = copy.deepcopy(kind("byte BPE").tokenizer)
    tokenizer.chat_template = templates.CHATML
    return tokenizer


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    folder = tmp_path_factory.mktemp("generate") / "artifact"
    tokenizer = with_template()
    model = without_end(vocab_size=len(tokenizer), num_hidden_layers=1)
    return compile_for_device(
        model, BUDGET_MB, seq_len=SEQ_LEN, kernels="lowpeak", tokenizer=tokenizer, out=folder
    )


def checkpoint_of(artifact: Artifact, folder: Path, scale: float) -> tuple[Path, dict[str, Tensor]]:
    """Of a run whose adapter is other than the artifact's."""
    adapter = {name: scale * torch.randn(t.shape) for name, t in artifact.adapter().items()}
    progress = Progress(artifact_id(artifact.manifest), 3, 0, "", {}, "", 0)
    save_checkpoint(folder / "checkpoint", progress, adapter, {})
    return folder / "checkpoint", adapter


def with_ends(artifact: Artifact, folder: Path, ends: list[int]) -> Artifact:
    """The artifact with other tokens that end an answer."""
    folder.mkdir()
    for file in artifact.path.iterdir():
        os.link(file, folder / file.name)
    assert artifact.manifest.generate is not None
    changed = dataclasses.replace(artifact.manifest.generate, ends=ends)
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).write_text(dataclasses.replace(artifact.manifest, generate=changed).to_json())
    return Artifact.open(folder)


def eager_answer(artifact: Artifact, adapter: dict[str, Tensor], prompt: list[int], tokens: int) -> list[int]:
    """transformers' greedy tokens, on the artifact's dequantized weights."""
    reference = own_weights(artifact)
    model: Any = reference.module.to_empty(device="cpu").eval()
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    with torch.no_grad():
        for name, value in {**reference.frozen, **adapter}.items():
            tensors[name].copy_(value)
    model.get_base_model().tie_weights()
    model.generation_config = GenerationConfig()
    ids = model.generate(input_ids=torch.tensor([prompt]), max_new_tokens=tokens, do_sample=False)
    return ids[0, len(prompt) :].tolist()


def test_greedy_tokens_are_those_of_transformers(artifact: Artifact, tmp_path: Path) -> None:
    torch.manual_seed(3)
    checkpoint, adapter = checkpoint_of(artifact, tmp_path, 0.5)
    answer = generate(artifact, PROMPT, checkpoint=checkpoint, max_tokens=ANSWER)
    assert list(answer.ids) == eager_answer(artifact, adapter, PROMPT, ANSWER)
    assert answer.stop_reason == "length" and answer.prompt_tokens == len(PROMPT)
    # The adapter counts.
    assert answer.ids != generate(artifact, PROMPT, max_tokens=ANSWER).ids
    record = artifact.manifest.generate
    assert record is not None
    assert answer.peak_rss_bytes <= record.planned_peak_bytes <= BUDGET_MB * 1e6


def test_text_goes_in_and_comes_out_in_pieces(artifact: Artifact) -> None:
    tokenizer = kind("byte BPE").tokenizer
    pieces: list[str] = []
    answer = generate(artifact, "The train leaves", max_tokens=12, on_text=pieces.append)
    prompt = tokenizer("The train leaves").input_ids
    assert answer.prompt_tokens == len(prompt)
    assert answer.ids == generate(artifact, prompt, max_tokens=12).ids
    assert "".join(pieces) == answer.text[: len("".join(pieces))]
    assert answer.text == tokenizer.decode(answer.ids, skip_special_tokens=True)


def test_chance_is_the_seeds(artifact: Artifact) -> None:
    def drawn(temperature: float, seed: int) -> tuple[int, ...]:
        return generate(artifact, PROMPT, max_tokens=20, temperature=temperature, seed=seed).ids

    assert drawn(1.0, 1) == drawn(1.0, 1)
    assert len({drawn(1.0, seed) for seed in range(4)}) == 4
    assert drawn(1e-6, 1) == drawn(0.0, 0)


def test_an_end_token_ends_it(artifact: Artifact, tmp_path: Path) -> None:
    ids = generate(artifact, PROMPT, max_tokens=10).ids
    end = ids[6]
    answer = generate(with_ends(artifact, tmp_path / "ends", [end]), PROMPT, max_tokens=10)
    assert answer.stop_reason == "end"
    assert answer.ids == ids[: ids.index(end) + 1]


def test_stops_where_the_cache_ends(artifact: Artifact) -> None:
    record = artifact.manifest.generate
    assert record is not None and record.tokens == SEQ_LEN
    answer = generate(artifact, [5] * (SEQ_LEN - 3), max_tokens=50)
    # The last token of an answer is not taken in.
    assert (answer.stop_reason, len(answer.ids)) == ("length", 4)
    with pytest.raises(DataError, match=rf"{SEQ_LEN + 1} tokens, there is room for {SEQ_LEN}"):
        generate(artifact, [5] * (SEQ_LEN + 1))


@pytest.mark.parametrize(
    ("prompt", "error", "words"),
    [
        ([100_000], DataError, r"token 100000, the model has rows for 0 to"),
        ([-1], DataError, r"token -1"),
        ("", DataError, r"no token"),
        ("a" * 1_000_000, DataError, r"has 1000000 bytes, there is room for 100 tokens"),
        ([{"role": "user", "content": "a" * 1_000_000}], DataError, r"has 10000\d\d bytes"),
    ],
)
def test_prompts_that_make_no_sense(
    artifact: Artifact, prompt: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        generate(artifact, prompt)


def test_a_checkpoint_of_another_artifact_is_refused(artifact: Artifact, tmp_path: Path) -> None:
    progress = Progress("0" * 64, 3, 0, "", {}, "", 0)
    save_checkpoint(tmp_path / "checkpoint", progress, artifact.adapter(), {})
    with pytest.raises(ArtifactError, match=r"of another artifact .*: name a checkpoint of this one"):
        generate(artifact, PROMPT, checkpoint=tmp_path / "checkpoint")
    with pytest.raises(ArtifactError, match=r"there is no checkpoint"):
        generate(artifact, PROMPT, run=tmp_path / "nothing")


def test_a_job_says_what_is_wrong_with_it(artifact: Artifact, tmp_path: Path) -> None:
    job = {
        "artifact": str(artifact.path),
        "work": str(tmp_path),
        "checkpoint": None,
        "max_tokens": 3,
        "seed": 0,
    }

    def told(**changes: Any) -> str:
        (tmp_path / "job.json").write_text(json.dumps({**job, "temperature": 0, **changes}))
        command = [str(runner()), "generate", str(tmp_path / "job.json"), "--ops-library", str(build() / OPS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        last = json.loads(done.stdout.splitlines()[-1])
        assert (done.returncode, last["event"]) == (1, "error")
        return f"{last['class']}: {last['message']}"

    assert "one of prompt, messages and ids" in told()
    assert "one of prompt, messages and ids" in told(prompt="a", ids=[1])
    assert "temperature must be 0 or more, not -1" in told(ids=[5], temperature=-1)
    assert "max_tokens must be positive, not 0" in told(ids=[5], max_tokens=0)
    assert "DataError: there is no message to answer" in told(messages=[])
    empty = told(messages=[{"role": "user", "content": " "}])
    assert empty == "DataError: message 1 is empty: leave it out"
    (tmp_path / "folder").mkdir()
    assert "is damaged (it cannot be read: Is a directory)" in told(
        ids=[5], checkpoint=str(tmp_path / "folder")
    )


def test_ids_need_no_tokenizer_that_is_known(artifact: Artifact, tmp_path: Path) -> None:
    expected = generate(artifact, PROMPT, max_tokens=5)
    folder = with_ends(artifact, tmp_path / "artifact", [])
    tokenizer = json.loads((folder.path / "tokenizer.json").read_text())
    tokenizer["normalizer"] = {"type": "NFKC"}
    (folder.path / "tokenizer.json").unlink()
    (folder.path / "tokenizer.json").write_text(json.dumps(tokenizer))
    list_files(folder.path)
    job = {
        **{"artifact": str(folder.path), "work": str(tmp_path), "checkpoint": None, "ids": PROMPT},
        **{"max_tokens": 5, "temperature": 0, "seed": 0},
    }

    def events(**changes: Any) -> list[dict[str, Any]]:
        (tmp_path / "job.json").write_text(json.dumps({**job, **changes}))
        command = [str(runner()), "generate", str(tmp_path / "job.json"), "--ops-library", str(build() / OPS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    told = events()
    (note,) = [event["note"] for event in told if event["event"] == "note" and "NFKC" in event["note"]]
    assert note.startswith("the answer comes without its text: tokenizer.json has the normalizer NFKC")
    assert tuple(event["id"] for event in told if event["event"] == "token") == expected.ids
    assert told[-1]["event"] == "generated" and told[-1]["text"] == ""
    refused = events(ids=None, prompt="a")[-1]
    assert refused["class"] == "DataError" and refused["message"].endswith("know: give the prompt as ids")


def test_a_signal_stops_it_with_what_was_said(artifact: Artifact, tmp_path: Path) -> None:
    job = {
        **{"artifact": str(artifact.path), "work": str(tmp_path), "checkpoint": None, "ids": PROMPT},
        **{"max_tokens": 70, "temperature": 0, "seed": 0},
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    # Stopped before it begins, so that the signal comes in time.
    flags = ("--ops-library", str(build() / OPS))
    started = Runner(flags, command=(str(runner()), "generate")).start(tmp_path / "job.json")
    assert started.stdout is not None
    assert json.loads(started.stdout.readline())["event"] == "ready"
    started.send_signal(signal.SIGTERM)
    out, _ = started.communicate()
    last = json.loads(out.decode().splitlines()[-1])
    assert last["event"] == "generated" and started.returncode == STOPPED
    assert last["stop_reason"] != "end"


def test_stock_kernels_are_refused_with_the_reason(artifact: Artifact, tmp_path: Path) -> None:
    stock = compile_for_device(
        without_end(num_hidden_layers=1), BUDGET_MB, seq_len=16, out=tmp_path / "stock"
    )
    assert stock.manifest.generate is None
    with pytest.raises(ArtifactError, match=r"no program that generates: only kernels='lowpeak'"):
        generate(stock, PROMPT)


def test_the_training_program_is_the_same_without_it(tmp_path: Path, artifact: Artifact) -> None:
    tokenizer = with_template()
    model = without_end(vocab_size=len(tokenizer), num_hidden_layers=1)
    plain = compile_for_device(
        model,
        BUDGET_MB,
        seq_len=SEQ_LEN,
        kernels="lowpeak",
        tokenizer=tokenizer,
        generate=False,
        out=tmp_path / "a",
    )
    assert plain.manifest.generate is None
    assert set(artifact.manifest.files) - set(plain.manifest.files) == {"generate.pte"}
    assert all(artifact.manifest.files[name] == record for name, record in plain.manifest.files.items())


@pytest.mark.slow
def test_the_demo_model_answers_as_in_eager_within_its_plan(tmp_path: Path) -> None:
    made = compile_for_device(
        fetch_demo_model(), 160, seq_len=256, kernels="lowpeak", out=tmp_path / "artifact"
    )
    artifact = with_ends(made, tmp_path / "endless", [])
    torch.manual_seed(5)
    checkpoint, adapter = checkpoint_of(artifact, tmp_path, 0.02)
    record = artifact.manifest.generate
    assert record is not None
    prompt = torch.randint(3, record.vocabulary, (40,)).tolist()
    answer = generate(artifact, prompt, checkpoint=checkpoint, max_tokens=ANSWER)
    assert list(answer.ids) == eager_answer(artifact, adapter, prompt, ANSWER)
    step = artifact.manifest.largest.plan.planned_peak_bytes
    print(answer.peak_rss_bytes, record.planned_peak_bytes, step, answer.tokens_per_second)
    assert answer.peak_rss_bytes <= record.planned_peak_bytes <= 1.5 * step


@pytest.mark.slow
def test_the_demo_model_answers_a_chat(tmp_path: Path) -> None:
    """The prompt is the template's, the text the tokenizer's."""
    artifact = compile_for_device(
        fetch_demo_model(), 160, seq_len=256, kernels="lowpeak", out=tmp_path / "artifact"
    )
    tokenizer = tokenizer_of(artifact)
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    answer = generate(artifact, messages, max_tokens=ANSWER)
    assert answer.prompt_tokens == len(prompt)
    assert answer.ids == generate(artifact, prompt, max_tokens=ANSWER).ids
    assert answer.text == tokenizer.decode(answer.ids, skip_special_tokens=True)
    assert answer.stop_reason == "end" and "Paris" in answer.text
