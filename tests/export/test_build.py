"""A compiled step becomes an artifact folder: by an emitter of a few lines, without a runtime."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from peft import LoraConfig
from torch import Tensor, fx
from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from lowpeak_artifact.safetensors_file import Declared, Entry, write_in_order
from lowpeak_compiler.config import Budget, TargetOptions, TrainingOptions
from lowpeak_compiler.frontend.intake import take_in
from lowpeak_compiler.frontend.model.weights import WeightSource
from lowpeak_compiler.ir.graph import Frozen, Quantized
from lowpeak_compiler.pipeline import Compiled, compile_step
from lowpeak_export.build import Generator, Part, build, stored_bytes
from lowpeak_export.emitter import Emission
from tests.model.tiny import tiny_model

LENGTHS = (16, 32)


class Recording:
    """Writes weights as safetensors and, for a program, its suffix; `fails` once it is to be written."""

    weights_file = "weights.safetensors"
    packages: tuple[str, ...] = ("pytest",)
    session_options: dict[str, Any] = {"told": "so"}  # noqa: RUF012

    def __init__(self, fails: Exception | None = None) -> None:
        self.emissions: list[Emission] = []
        self.fails = fails

    def require_packages(self) -> None: ...

    def check_operators(self, operations: Iterable[fx.Node]) -> None: ...

    def write_weights(
        self, file: BinaryIO, tensors: Iterable[Declared], load: Callable[[str], Tensor]
    ) -> list[Entry]:
        return write_in_order(file, tensors, load)

    def write_program(self, emission: Emission) -> None:
        if self.fails is not None:
            raise self.fails
        self.emissions.append(emission)
        (emission.folder / f"program{emission.suffix}").write_text(emission.suffix)


class Counting:
    """A source of weights that counts how often each is read."""

    def __init__(self, source: WeightSource) -> None:
        self.source = source
        self.dense_reads: list[str] = []

    def format_of(self, name: str) -> QuantFormat | None:
        return self.source.format_of(name)

    def dense(self, name: str) -> Tensor:
        self.dense_reads.append(name)
        return self.source.dense(name)

    def quantized(self, name: str) -> QuantizedTensor:
        return self.source.quantized(name)


def compiled(seq_len: int) -> Compiled:
    lora = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    model = tiny_model(num_hidden_layers=1)
    intake = take_in(model, seq_len=seq_len, batch_size=1, lora=lora, example_batch=None, seed=0)
    return compile_step(intake, TrainingOptions(seq_len), TargetOptions(), Budget(20))


@pytest.fixture(scope="module")
def parts() -> list[Part]:
    made = []
    for seq_len in LENGTHS:
        step = compiled(seq_len)
        sample = {
            each.name: torch.zeros(each.shape, dtype=getattr(torch, each.dtype)) for each in step.step.inputs
        }
        made.append(Part(step, sample))
    return made


def built(parts: list[Part], out: Path, emitter: Recording | None = None, **options: Any) -> Artifact:
    return build(parts, emitter or Recording(), out, **{"sample_loss": 2.5, "tokenizer": None, **options})


def test_the_manifest_says_what_was_compiled(parts: list[Part], tmp_path: Path) -> None:
    step = parts[-1].compiled.step
    built(parts[-1:], tmp_path / "a", tokenizer_problem="it has none")
    manifest = Artifact.open(tmp_path / "a").manifest
    roles = [role for _, role in step.graph.inputs()]
    quantized = {role.name for role in roles if isinstance(role, Quantized)}
    assert {record.name for record in manifest.quantized} == quantized != set()
    assert len(manifest.weights) == sum(isinstance(role, Frozen | Quantized) for role in roles)
    assert [record.name for record in manifest.parameters] == list(step.graph.gradients)
    assert manifest.sample is not None and manifest.sample.loss == 2.5
    assert (manifest.options["seq_len"], manifest.session_options) == (LENGTHS[-1], {"told": "so"})
    assert manifest.versions["pytest"] == version("pytest") and "torch" in manifest.versions
    assert manifest.tokenizer_problem == "it has none"
    assert (manifest.generate, manifest.generate_problem) == (None, None)
    assert [bucket.suffix for bucket in manifest.buckets] == [""]


def test_buckets_share_the_weights(parts: list[Part], tmp_path: Path) -> None:
    """The rest of each has its length in its name; the longest is the last."""
    emitter = Recording()
    artifact = built(parts, tmp_path / "a", emitter)
    assert [bucket.suffix for bucket in artifact.manifest.buckets] == ["-16", "-32"]
    assert [emission.suffix for emission in emitter.emissions] == ["-16", "-32"]
    assert emitter.emissions[0].weights == emitter.emissions[1].weights
    names = set(os.listdir(tmp_path / "a"))
    assert {"weights.safetensors", "program-16", "program-32"} <= names
    assert sum(name.startswith("weights") for name in names) == 1
    for kind in ("graph", "plan", "sample", "constants"):
        assert len([name for name in names if name.startswith(f"{kind}-")]) == 2


def test_the_largest_program_comes_with_the_one_that_generates(parts: list[Part], tmp_path: Path) -> None:
    """Without one the artifact says why."""
    emitter = Recording()
    artifact = built(parts, tmp_path / "a", emitter, generator=Generator(None, "no kernel for it", []))
    assert artifact.manifest.generate_problem == "no kernel for it"
    assert [emission.decoder for emission in emitter.emissions] == [None, None]


def test_each_matrix_is_read_and_quantized_once(parts: list[Part], tmp_path: Path) -> None:
    """Its parts lie apart in the file. What is written is what the source has."""
    part = parts[-1]
    source = Counting(part.compiled.intake.weights)
    counted = replace(part.compiled, intake=replace(part.compiled.intake, weights=source))
    told: list[str] = []
    artifact = built([replace(part, compiled=counted)], tmp_path / "a", progress=told.append)
    assert sorted(source.dense_reads) == sorted(set(source.dense_reads))
    count = len(artifact.manifest.weights)
    assert f"writing weights: {count} of {count} tensors" in told and told[-1] == "writing the program"
    for record in artifact.manifest.quantized:
        dense = source.source.dense(record.name)
        matrix = artifact.quantized(record.name)
        assert matrix is not None
        error = (matrix.dequantize() - dense).abs().max()
        assert error < dense.abs().max() / 2 ** (record.bits - 1)


def test_room_is_asked_for_what_will_be_stored(parts: list[Part], tmp_path: Path) -> None:
    """The weights, and an adapter for the folder and each program; little else is large."""
    artifact = built(parts, tmp_path / "a")
    adapter = sum(tensor.nbytes for tensor in artifact.adapter().values())
    weights = sum(
        torch.Size(record.shape).numel() * getattr(torch, record.dtype).itemsize
        for record in artifact.manifest.weights
    )
    assert stored_bytes(parts[-1].compiled.step.graph, programs=2) == weights + 3 * adapter


@pytest.mark.parametrize(
    ("fails", "raised"),
    [
        (RuntimeError("a bug"), RuntimeError),
        (OSError(errno.ENOSPC, "full"), EnvironmentProblem),
        (KeyError("x"), KeyError),
    ],
)
def test_what_fails_leaves_nothing(
    fails: Exception, raised: type[Exception], parts: list[Part], tmp_path: Path
) -> None:
    with pytest.raises(raised):
        built(parts, tmp_path / "a", Recording(fails))
    assert os.listdir(tmp_path) == []


def test_an_artifact_is_replaced_only_when_asked(parts: list[Part], tmp_path: Path) -> None:
    built(parts[:1], tmp_path / "a")
    with pytest.raises(ArtifactError, match="in use by an artifact"):
        built(parts[1:], tmp_path / "a")
    assert built(parts[1:], tmp_path / "a", overwrite=True).manifest.options["seq_len"] == LENGTHS[1]


class Unsaved(PreTrainedTokenizerBase):
    """A tokenizer whose files cannot be written."""

    def __init__(self) -> None:
        self.chat_template = None

    def save_pretrained(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("slow only")


def test_a_tokenizer_that_cannot_be_saved(parts: list[Part], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"the tokenizer \(Unsaved\) cannot be saved: slow only"):
        built(parts, tmp_path / "a", tokenizer=Unsaved())
    assert os.listdir(tmp_path) == []
