"""lowpeak-runner eval: eager's mean loss over the labels of prepared batches, and nothing changed."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from lowpeak import compile_for_device
from lowpeak.demo_model import fetch_demo_model
from lowpeak_artifact.artifact import MANIFEST, Artifact, sha256_of
from lowpeak_export.executorch.library import OPS
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.trainer import train
from tests.native.build import build
from tests.native.encoding import Run, ask, by_runner, write_lines
from tests.native.runner import use_runner
from tests.runtime_py.trainable import (
    eager_model,
    mean_over_labels,
    several_batches,
    trainable_artifact,
    trainable_step,
    uneven_batches,
)
from tests.tiny import TinyStep, tiny_llama


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step()


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("eval") / "artifact", tiny)


def evaluated(
    artifact: Artifact,
    batches: Sequence[Mapping[str, Tensor]],
    folder: Path,
    checkpoint: Path | None = None,
    program: Sequence[str] = (),
    operators: Path | None = None,
) -> dict[str, Any]:
    """The event that evaluating these batches ends with."""
    folder.mkdir(exist_ok=True)
    job = Job.of(artifact, folder, steps=len(batches))
    write_batches(job, training_data(artifact, list(batches)))
    return over(artifact, Path(job.batches), len(batches), folder, checkpoint, program, operators)


def over(
    artifact: Artifact,
    batches: Path,
    count: int,
    folder: Path,
    checkpoint: Path | None = None,
    program: Sequence[str] = (),
    operators: Path | None = None,
) -> dict[str, Any]:
    job = {
        "artifact": str(artifact.path),
        "work": str(folder),
        "batches": str(batches),
        "count": count,
        "checkpoint": None if checkpoint is None else str(checkpoint),
    }
    return ask("eval", job, folder / "eval.json", program, ("--ops-library", str(operators or build() / OPS)))


def with_adapter(model: PeftModel, checkpoint: Path) -> PeftModel:
    own = dict(model.named_parameters(remove_duplicate=False))
    for name, value in load_file(checkpoint).items():
        if name.startswith("adapter."):
            own[name.removeprefix("adapter.")].data.copy_(value)
    return model


def test_is_the_mean_over_all_labels(artifact: Artifact, tiny: TinyStep, tmp_path: Path) -> None:
    batches = uneven_batches(artifact.manifest.largest.batch, [1, 9, 4])
    event = evaluated(artifact, batches, tmp_path)
    assert event["event"] == "evaluated", event
    expected = mean_over_labels(eager_model(tiny), batches).item()
    assert event["loss"] == pytest.approx(expected, rel=1e-6)
    assert event["batches"] == 3 and event["labels"] == sum(
        int((b["labels"][:, 1:] >= 0).sum()) for b in batches
    )
    assert event["peak_rss_bytes"] > 0


def test_with_a_checkpoint_which_stays_as_it_is(
    artifact: Artifact, tiny: TinyStep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_runner(monkeypatch)
    batches = several_batches(artifact.manifest.largest.batch, 4)
    train(artifact, batches, steps=6, optimizer=OptimizerOptions(learning_rate=1e-2), out=tmp_path / "run")
    checkpoint = tmp_path / "run" / CHECKPOINT
    before = {file: sha256_of(file) for file in (*artifact.path.iterdir(), checkpoint)}
    event = evaluated(artifact, batches, tmp_path, checkpoint)
    model = with_adapter(eager_model(tiny), checkpoint)
    assert event["loss"] == pytest.approx(mean_over_labels(model, batches).item(), rel=1e-6)
    assert event["loss"] < evaluated(artifact, batches, tmp_path / "first")["loss"]
    assert event["loss"] == evaluated(artifact, batches, tmp_path / "again", checkpoint)["loss"]
    assert before == {file: sha256_of(file) for file in before}


def test_batches_of_several_lengths(tmp_path: Path) -> None:
    artifact = compile_for_device(tiny_llama(), budget_mb=40, seq_len=[6, 12], out=tmp_path / "artifact")
    longest = several_batches(artifact.manifest.largest.batch, 4)
    batches = [{n: t[:, : 6 if i % 2 else 12] for n, t in batch.items()} for i, batch in enumerate(longest)]
    for batch in batches:
        batch["labels"] = batch["input_ids"].clone()
    event = evaluated(artifact, batches, tmp_path)
    alone = [evaluated(artifact, [batch], tmp_path / str(i)) for i, batch in enumerate(batches)]
    labels = sum(each["labels"] for each in alone)
    assert event["labels"] == labels
    assert event["loss"] == pytest.approx(sum(e["loss"] * e["labels"] for e in alone) / labels, rel=1e-6)


def test_refuses_what_it_cannot_evaluate(artifact: Artifact, tmp_path: Path) -> None:
    batches = several_batches(artifact.manifest.largest.batch, 2)
    assert evaluated(artifact, batches, tmp_path)["event"] == "evaluated"
    folder = tmp_path / "batches"
    lacking = over(artifact, folder, 3, tmp_path)
    assert lacking["class"] == "DataError" and "lack batch 2" in lacking["message"]
    assert "count must be positive" in over(artifact, folder, 0, tmp_path)["message"]
    missing = over(artifact, folder, 2, tmp_path, folder)
    assert "is damaged (it cannot be read: Is a directory)" in missing["message"]
    missing = over(artifact, folder, 2, tmp_path, tmp_path / "no")
    assert missing["class"] == "ArtifactError" and "there is no checkpoint" in missing["message"]


def test_stops_when_memory_is_short(artifact: Artifact, tmp_path: Path) -> None:
    batches = several_batches(artifact.manifest.largest.batch, 2)
    assert evaluated(artifact, batches, tmp_path)["event"] == "evaluated"
    (tmp_path / "pressure").write_text("some avg10=12.50 avg60=0.00 avg300=0.00 total=1\n")
    flags = ("--pressure-file", str(tmp_path / "pressure"), "--pressure-limit")
    job, file = json.loads((tmp_path / "eval.json").read_text()), tmp_path / "eval.json"
    operators = ("--ops-library", str(build() / OPS))
    assert ask("eval", job, file, (), (*operators, *flags, "12.5"))["event"] == "evaluated"
    event = ask("eval", job, file, (), (*operators, *flags, "12"))
    assert (event["event"], event["step"]) == ("stopped", 0)
    assert event["reason"].startswith("memory pressure: tasks waited for memory in 12.5 %")
    bucket = artifact.manifest.largest
    small = dataclasses.replace(bucket.plan, budget_bytes=1000, planned_anonymous_bytes=1001)
    manifest = dataclasses.replace(artifact.manifest, buckets=[dataclasses.replace(bucket, plan=small)])
    folder = shutil.copytree(artifact.path, tmp_path / "small")
    (folder / MANIFEST).write_text(manifest.to_json())
    event = ask("eval", {**job, "artifact": str(folder)}, file, (), operators)
    assert (event["event"], event["step"]) == ("stopped", 0)
    assert event["reason"].startswith("memory budget: the next step needs ")


@pytest.mark.slow
def test_of_the_demo_model_is_that_of_peft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoded, trained and evaluated without Python; the adapter then loaded by PEFT."""
    use_runner(monkeypatch)
    model = fetch_demo_model()
    artifact = compile_for_device(
        model, budget_mb=400, seq_len=64, kernels="lowpeak", out=tmp_path / "artifact"
    )
    data = write_lines(tmp_path / "data.jsonl", _lessons(120))
    _, encoded = by_runner(artifact.path, data, tmp_path / "batches", Run(8, seed=9))
    assert encoded["event"] == "encoded", encoded
    before = over(artifact, tmp_path / "batches", 8, tmp_path)
    options = OptimizerOptions(learning_rate=5e-4)
    train(artifact, data, steps=50, optimizer=options, out=tmp_path / "run", engine="native")
    after = over(artifact, tmp_path / "batches", 8, tmp_path, tmp_path / "run" / CHECKPOINT)
    print(encoded, before, after)
    assert after["loss"] < before["loss"]
    base = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name, dtype=torch.float32)
    peft = PeftModel.from_pretrained(base, tmp_path / "run" / "adapter").eval()
    tensors = load_file(next((tmp_path / "batches").glob("*.safetensors")))
    total = count = 0.0
    with torch.no_grad():
        for ids, targets in zip(tensors["0.input_ids"], tensors["0.targets"], strict=True):
            logits = peft(input_ids=ids).logits.flatten(0, 1)
            total += torch.nn.functional.cross_entropy(logits, targets.flatten(), reduction="sum").item()
            count += int((targets >= 0).sum())
    print("eager", total / count)
    assert count == after["labels"]
    assert after["loss"] == pytest.approx(total / count, abs=1e-3)


def _lessons(count: int) -> list[dict[str, Any]]:
    return [
        {
            "messages": [
                {"role": "user", "content": f"What is {first} plus {second}?"},
                {"role": "assistant", "content": f"It is {first + second}, and I am glad that you asked."},
            ]
        }
        for first, second in ((number * 7 % 50, number * 3 % 40) for number in range(count))
    ]
