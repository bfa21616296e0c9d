"""Several sequence lengths in one artifact: together they train as the longest alone does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lowpeak import compile_for_device, simulate
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import BudgetTooSmall, ModelError
from lowpeak_runtime.data.encode import NO_LOSS, Example
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.command import Engine
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.trainer import train
from tests.native.runner import use_runner
from tests.tiny import tiny_llama

LENGTHS = [6, 12, 24]
STEPS = 16
OPTIONS = OptimizerOptions(learning_rate=5e-3, clip_norm=1.0)


def compiled(folder: Path, seq_len: int | list[int], **options: object) -> Artifact:
    settings = {"budget_mb": 20, "out": folder, **options}
    return compile_for_device(tiny_llama(), seq_len=seq_len, **settings)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compiled(tmp_path_factory.mktemp("buckets") / "artifact", LENGTHS)


@pytest.fixture(scope="module")
def longest(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compiled(tmp_path_factory.mktemp("longest") / "artifact", LENGTHS[-1])


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    use_runner(monkeypatch)


@pytest.fixture(params=[pytest.param("python", marks=pytest.mark.thorough), "native"])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    return chosen


def examples() -> list[Example]:
    result = []
    for length in (4, 6, 7, 12, 13, 20, 24, 30):
        ids = tuple((5 * i + length) % 96 for i in range(length))
        result.append(Example(ids, (NO_LOSS, *ids[1:])))
    return result


def test_the_folder(artifact: Artifact, longest: Artifact) -> None:
    files = set(artifact.manifest.files)
    for length in LENGTHS:
        assert {f"program-{length}.pte", f"graph-{length}.json", f"plan-{length}.csv"} < files
    assert "program.pte" not in files and "weights.ptd" in files
    assert artifact.weights.read_bytes() == longest.weights.read_bytes()
    assert [bucket.batch.seq_len for bucket in artifact.manifest.buckets] == LENGTHS
    for bucket in artifact.manifest.buckets:
        assert bucket.plan.planned_peak_bytes <= artifact.manifest.budget_bytes
    arenas = [bucket.plan.arena_bytes for bucket in artifact.manifest.buckets]
    assert arenas == sorted(arenas) and arenas[0] < arenas[-1]


def test_each_is_simulated(artifact: Artifact) -> None:
    peaks = []
    for length in (*LENGTHS, None):
        report = simulate(artifact, seq_len=length)
        assert report.loss_relative_error is not None and report.loss_relative_error < 1e-5
        assert report.gradient_relative_error_max is not None and report.gradient_relative_error_max < 1e-4
        peaks.append(report.planned_peak_bytes)
    assert peaks[0] < peaks[1] < peaks[2] == peaks[3]
    with pytest.raises(ModelError, match="compiled for sequences of 6, 12, 24 tokens, not 7"):
        simulate(artifact, seq_len=7)


def test_trains_as_the_longest_alone(
    artifact: Artifact, longest: Artifact, engine: Engine, tmp_path: Path
) -> None:
    metrics = tmp_path / "metrics.ndjson"
    runs = {"buckets": (artifact, metrics), "longest": (longest, None)}
    losses = {
        name: train(
            trained,
            examples(),
            steps=STEPS,
            optimizer=OPTIONS,
            out=tmp_path / name,
            engine=engine,
            metrics=file,
        ).losses
        for name, (trained, file) in runs.items()
    }
    assert losses["buckets"] == pytest.approx(losses["longest"], rel=1e-5)
    adapters = [load_file(tmp_path / name / CHECKPOINT) for name in runs]
    for name, tensor in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], tensor, rtol=0, atol=1e-4)
    steps = [json.loads(line) for line in metrics.read_text().splitlines()]
    tokens = [round(step["tokens_per_second"] * step["seconds"]) for step in steps]
    assert set(tokens) == set(LENGTHS)


def test_resumes_bit_for_bit(artifact: Artifact, engine: Engine, tmp_path: Path) -> None:
    """Over a checkpoint that one bucket's program wrote and another's reads."""
    options = {"optimizer": OPTIONS, "engine": engine}
    straight = train(artifact, examples(), steps=9, out=tmp_path / "straight", **options).losses
    halves = [
        train(artifact, examples(), steps=steps, out=tmp_path / "two", resume=True, **options).losses
        for steps in (5, 9)
    ]
    assert halves[0] + halves[1] == straight
    checkpoints = [(tmp_path / name / CHECKPOINT).read_bytes() for name in ("straight", "two")]
    assert checkpoints[0] == checkpoints[1]


def test_one_update_of_batches_of_several_buckets(
    artifact: Artifact, longest: Artifact, tmp_path: Path
) -> None:
    result = [
        train(trained, examples(), steps=6, accumulate=3, optimizer=OPTIONS, engine="native").losses
        for trained in (artifact, longest)
    ]
    assert result[0] == pytest.approx(result[1], rel=1e-5)


def test_batches_of_several_examples(tmp_path: Path) -> None:
    artifact = compiled(tmp_path / "artifact", [12, 24], batch_size=2)
    alone = compiled(tmp_path / "alone", 24, batch_size=2)
    result = [
        train(trained, examples(), steps=8, optimizer=OPTIONS, engine="native").losses
        for trained in (artifact, alone)
    ]
    assert result[0] == pytest.approx(result[1], rel=1e-5)


def test_a_program_that_is_missing(artifact: Artifact, tmp_path: Path) -> None:
    """The runner looks for every bucket's before it begins."""
    copy = compiled(tmp_path / "artifact", [6, 12])
    manifest = json.loads((copy.path / "manifest.json").read_text())
    del manifest["files"]["program-12.pte"]
    (copy.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Exception, match=r"has no program-12\.pte"):
        train(copy.path, examples(), steps=1, engine="native")


def test_lengths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(BudgetTooSmall, match="at seq_len 24 is"):
        compiled(tmp_path / "a", LENGTHS, budget_mb=1)
    with pytest.raises(ModelError, match="empty list"):
        compiled(tmp_path / "a", [])
    with pytest.raises(ModelError, match="several sequence lengths need"):
        compiled(tmp_path / "a", LENGTHS, target="onnxruntime")
    assert not list(tmp_path.iterdir())
