"""The messages in docs/troubleshooting.md are those that users meet."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

import lowpeak
from lowpeak.cli.compile_options import Asked
from lowpeak.phone.devices import choose, parse
from lowpeak_compiler.frontend.model.gguf_config import read_config
from lowpeak_compiler.frontend.model.gguf_file import GgufFile
from lowpeak_compiler.frontend.model.source import open_model
from lowpeak_runtime.data.data import ExampleList, batches
from lowpeak_runtime.data.encode import NO_LOSS, Example
from lowpeak_runtime.data.jsonl import read_jsonl
from lowpeak_runtime.data.subset import choose_subset
from lowpeak_runtime.train.checkpoint import CHECKPOINT, newest_whole
from lowpeak_runtime.train.optimizer import AdapterOptimizer, OptimizerOptions
from tests.model.tiny import tiny_model, write_gguf
from tests.tiny import tiny_llama

DOCUMENT = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


class Module(nn.Module):
    def __init__(self, trainable: bool = True) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
        self.requires_grad_(trainable)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x).sum()


class Svd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svdvals(self.layer(x)).sum()


BATCH = {"x": torch.zeros(4, 4)}


def compiled(model: Any = None, budget_mb: float = 100, **options: Any) -> lowpeak.Artifact:
    model = tiny_llama() if model is None else model
    return lowpeak.compile_for_device(model, budget_mb, **{"seq_len": 16, **options})


def with_nan() -> nn.Module:
    model = tiny_llama()
    model.get_parameter("model.layers.0.mlp.up_proj.weight").data[0, 0] = float("nan")
    return model


def labels_everywhere() -> list[dict[str, Tensor]]:
    return [{"input_ids": torch.arange(16)[None], "labels": torch.arange(16)[None]}]


LISTING = "List of devices attached\n"

CASES: dict[str, Callable[[], object]] = {
    "budget": lambda: compiled(budget_mb=1),
    "no length": lambda: compiled(seq_len=None),
    "long": lambda: compiled(seq_len=4096),
    "group": lambda: compiled(group_size=48),
    "alpha": lambda: compiled(lora=Asked(rank=4, alpha=0).lora()),
    "rank": lambda: Asked(rank=0),
    "targets": lambda: compiled(lora=Asked(rank=4, target_modules="nope").lora()),
    "device": lambda: compiled(device="toaster"),
    "kernels": lambda: compiled(kernels="native"),
    "config": lambda: compiled("config:gpt5"),
    "folder": lambda: compiled("no-such-folder"),
    "frozen": lambda: compiled(Module(trainable=False), example_batch=BATCH),
    "unused": lambda: compiled(Module(), example_batch=BATCH),
    "no batch": lambda: compiled(Module()),
    "operator": lambda: compiled(Svd(), example_batch=BATCH),
    "onnx operator": lambda: compiled(Svd(), example_batch=BATCH, target="onnxruntime"),
    "accumulate": lambda: lowpeak.train(compiled(), steps=1, accumulate=2, engine="python"),
    "nan": lambda: compiled(with_nan()),
    "labels": lambda: lowpeak.train(compiled(trainable_ratio=0.3), labels_everywhere(), steps=1),
    "no device": lambda: choose(parse(LISTING), None),
    "two devices": lambda: choose(parse(f"{LISTING}A device\nB device\n"), None),
    "subset": lambda: choose_subset(torch.arange(15), torch.eye(32), 8),
}


@pytest.mark.parametrize("name", CASES)
def test_the_message_is_in_the_document(name: str) -> None:
    with pytest.raises(lowpeak.LowpeakError) as caught:
        CASES[name]()
    message = str(caught.value).partition(" (0.")[0]
    assert message in DOCUMENT
    assert f"## {type(caught.value).__name__}" in DOCUMENT


def test_messages_about_artifacts_are_in_the_document(tmp_path: Path) -> None:
    folder = tmp_path / "artifact"
    messages = []

    def fails(action: Callable[[], object]) -> None:
        with pytest.raises(lowpeak.ArtifactError) as caught:
            action()
        messages.append(str(caught.value).replace(str(folder), "DIR"))

    fails(lambda: lowpeak.Artifact.open(folder))
    compiled(out=folder)
    fails(lambda: compiled(out=folder))
    weights = folder / "weights.ptd"
    weights.write_bytes(weights.read_bytes()[:-10])
    fails(lambda: lowpeak.Artifact.open(folder))
    assert [message for message in messages if message not in DOCUMENT] == []


MODEL_CHANGES: dict[str, dict[str, Any]] = {
    "layers": {"num_hidden_layers": 10**6},
    "epsilon": {"rms_norm_eps": 0},
    "theta": {"rope_theta": -1.0},
    "heads": {"num_attention_heads": True},
    "classes": {"architectures": [1]},
    "activation": {"hidden_act": "nope"},
    "too many layers": {"num_hidden_layers": 20_000},
    "kernel": {"_attn_implementation": "org/kernel"},
}


@pytest.mark.parametrize("name", MODEL_CHANGES)
def test_messages_about_configs_are_in_the_document(name: str, tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | MODEL_CHANGES[name]))
    assert told_of_model(tmp_path, tmp_path) in DOCUMENT


def told_of_model(model: Path, folder: Path) -> str:
    with pytest.raises(lowpeak.LowpeakError) as caught:
        open_model(model)
    return str(caught.value).replace(str(folder), "DIR")


def test_messages_about_folders_are_in_the_document(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "one.safetensors")
    save_file({"lm_head.weight": torch.zeros(96, 64)}, tmp_path / "two.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    names = dict.fromkeys(load_file(tmp_path / "one.safetensors"), "one.safetensors")
    for entries in (
        {**names, "lm_head.weight": "../x.safetensors"},
        {**names, "no.such": "one.safetensors"},
    ):
        index.write_text(json.dumps({"weight_map": entries}))
        assert told_of_model(tmp_path, tmp_path) in DOCUMENT
    (tmp_path / "config.json").write_text('{"a": 1, "a": 2}')
    assert told_of_model(tmp_path, tmp_path) in DOCUMENT
    (tmp_path / "config.json").write_text("[" * 100_000)
    assert told_of_model(tmp_path, tmp_path) in DOCUMENT
    os.mkfifo(tmp_path / "tokenizer.json")
    assert told_of_model(tmp_path, tmp_path) in DOCUMENT


def test_the_message_about_gguf_numbers_is_in_the_document(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", tiny_model(), {})
    file = GgufFile(tmp_path / "m.gguf")
    file.metadata["llama.embedding_length"] = 128
    with pytest.raises(lowpeak.LowpeakError) as caught:
        read_config(file, None)
    assert str(caught.value).replace(str(tmp_path), "DIR") in DOCUMENT


def test_messages_about_batches_are_in_the_document() -> None:
    artifact, (batch,) = compiled(), labels_everywhere()
    no_row, hidden = batch["labels"].clone(), torch.ones_like(batch["labels"])
    no_row[0, 7], hidden[0, 0] = -1, 0
    for wrong in (
        {"labels": no_row},
        {"attention_mask": hidden},
        {"inputs_embeds": torch.zeros(1)},
        {"labels": torch.full_like(no_row, -100)},
    ):
        with pytest.raises(lowpeak.DataError) as caught:
            lowpeak.train(artifact, [{**batch, **wrong}], steps=1)
        assert str(caught.value) in DOCUMENT


@pytest.mark.parametrize(
    "text", ["[1]", '{"prompt": "a"}', '{"text": "a b"}\n{"prompt": "a", "completion": "b"}', ""]
)
def test_messages_about_data_are_in_the_document(text: str, tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words)  # type: ignore[no-untyped-call]
    file = tmp_path / "data.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(lowpeak.DataError) as caught:
        read_jsonl(file, tokenizer)
    assert str(caught.value).replace(str(file), "data.jsonl") in DOCUMENT


def test_the_message_about_examples_that_are_all_left_out_is_in_the_document() -> None:
    answers_at = (15, 12)
    examples = [Example((1,) * 20, (NO_LOSS,) * first + (1,) * (20 - first)) for first in answers_at]
    endless = batches(ExampleList(examples), seq_lens=[10], batch_size=1, pad_token_id=0, seed=0)
    with pytest.raises(lowpeak.DataError) as caught:
        next(endless)
    assert str(caught.value) in DOCUMENT


def test_messages_about_checkpoints_are_in_the_document(tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"\xff" * 100)
    with pytest.raises(lowpeak.ArtifactError) as damaged:
        newest_whole(tmp_path)
    assert str(damaged.value).replace(str(tmp_path), "DIR") in DOCUMENT
    parameter, gradient = {"p": torch.tensor([3.3e38])}, {"p": torch.tensor([-1.0])}
    optimizer = AdapterOptimizer(parameter, gradient, OptimizerOptions(learning_rate=3e37), total_steps=9)
    with pytest.raises(lowpeak.DataError) as spoiled:
        optimizer.update(7)
    assert str(spoiled.value) in DOCUMENT
