"""A tiny artifact with its ExecuTorch program, and the eager model with the same quantized weights."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from torch.nn.functional import cross_entropy

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.batch import IGNORE_INDEX, BatchSpec
from lowpeak_artifact.executorch_layout import PROGRAM
from lowpeak_artifact.quantize import quantize
from lowpeak_compiler.ir.graph import Quantized
from lowpeak_export.bundle import writing
from lowpeak_export.executorch.program import emit
from tests.tiny import SHAPE, TinyStep, planned_step, tiny_batch, tiny_llama, write_artifact


def trainable_step(**options: Any) -> TinyStep:
    """Llama whose adapter already does something, so that every gradient counts."""
    tiny = planned_step(tiny_llama(), **options)
    generator = torch.Generator().manual_seed(7)
    for name in tiny.graph.gradients:
        if "lora_B" in name:
            tiny.values[name].normal_(std=0.05, generator=generator)
    return tiny


def trainable_artifact(folder: Path, tiny: TinyStep, **changes: Any) -> Artifact:
    """The artifact of the step in `folder`, its program included."""
    plain = write_artifact(folder.with_name(folder.name + ".plain"), tiny, **changes)
    manifest = Artifact.open(plain).manifest
    with writing(folder) as bundle:
        for name in manifest.files:
            shutil.copy(plain / name, bundle.path(name))
        adapter = {name: tiny.values[name] for name in tiny.graph.gradients}
        bundle.path(PROGRAM).write_bytes(emit(tiny.step, adapter))
        bundle.finish(manifest)
    shutil.rmtree(plain)
    return Artifact.open(folder)


def eager_model(tiny: TinyStep) -> PeftModel:
    """A copy of the PEFT model with every quantized weight at its dequantized value."""
    model = copy.deepcopy(tiny.model)
    own = dict(model.named_parameters(remove_duplicate=False))
    for role in {role.name: role for _, role in tiny.graph.inputs() if isinstance(role, Quantized)}.values():
        weight = own[role.name].data
        weight.copy_(quantize(weight, role.format).dequantize())
    return model


def eager_loss(model: torch.nn.Module, batch: dict[str, Tensor]) -> Tensor:
    return model(input_ids=batch["input_ids"], labels=batch["labels"]).loss


def uneven_batches(spec: BatchSpec, prompts: Sequence[int]) -> list[dict[str, Tensor]]:
    """Different batches; as many tokens of each as `prompts` says have no label."""
    batches = several_batches(spec, len(prompts))
    for batch, prompt in zip(batches, prompts, strict=True):
        batch["labels"] = batch["input_ids"].clone()
        batch["labels"][:, :prompt] = IGNORE_INDEX
    return batches


def mean_over_labels(model: torch.nn.Module, batches: Sequence[dict[str, Tensor]]) -> Tensor:
    """Eager's loss of all the batches: over every label of them, of their subset of the vocabulary if any."""
    total, count = torch.zeros(()), 0
    for batch in batches:
        logits, targets = model(input_ids=batch["input_ids"]).logits[:, :-1], batch["labels"][:, 1:]
        if "token_subset" in batch:
            logits = logits[..., batch["token_subset"]]
            places = torch.searchsorted(batch["token_subset"], targets.clamp(min=0))
            targets = torch.where(targets == IGNORE_INDEX, IGNORE_INDEX, places)
        total = total + cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        count += int((targets != IGNORE_INDEX).sum())
    return total / count


def several_batches(spec: BatchSpec, count: int) -> list[dict[str, Tensor]]:
    """Different batches; the labels of the first tokens do not count."""
    generator = torch.Generator().manual_seed(11)
    result = []
    for _ in range(count):
        batch = tiny_batch(spec)
        ids = torch.randint(0, SHAPE["vocab_size"], batch["input_ids"].shape, generator=generator)
        result.append({"input_ids": ids, "labels": torch.where(batch["labels"] < 0, batch["labels"], ids)})
    return result
