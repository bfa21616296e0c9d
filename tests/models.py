"""Tiny trainable modules, and the graphs that are made of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn

from lowpeak_artifact.batch import IGNORE_INDEX
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.causal_lm import CausalLMLoss, loss_module, skeleton_of
from lowpeak_compiler.frontend.differentiate import differentiate
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.passes.stage import Pass
from tests.evaluate import Trained
from tests.model.tiny import tiny_model

TOKENS = 12
PREFIX = "model."


@dataclass
class LanguageModel(Trained):
    """A causal LM with a LoRA; batch: input_ids and targets."""

    def forward_graph(self) -> TrainGraph:
        shape = tuple(self.batch["input_ids"].shape)
        assert isinstance(self.module, CausalLMLoss)
        module = loss_module(skeleton_of(self.module.model), shape[1])  # type: ignore[arg-type]
        batch = {name: (tuple(shape), torch.int64) for name in ("input_ids", "targets")}
        return capture(module, batch, prefix=self.prefix)


def language_model(
    kind: str = "llama", *, batch: int = 1, counted: Iterable[int] = range(TOKENS), **changes: Any
) -> LanguageModel:
    """One layer, every adapter tensor random; tokens `counted` of each row have a label."""
    model = tiny_model(kind, **{"num_hidden_layers": 1, **changes})
    vocabulary = model.config.vocab_size
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    torch.manual_seed(1)
    for parameter in adapted.parameters():
        nn.init.normal_(parameter, std=0.05)
    input_ids = torch.randint(0, vocabulary, (batch, TOKENS))
    targets = torch.full((batch, TOKENS), IGNORE_INDEX)
    for position in counted:
        targets[:, position] = torch.randint(0, vocabulary, (batch,))
    batch_of = {"input_ids": input_ids, "targets": targets}
    return LanguageModel(CausalLMLoss(adapted).eval(), batch_of, PREFIX)


def train(
    module: nn.Module, before: Iterable[Pass] = (), after: Iterable[Pass] = (), **batch: Tensor
) -> tuple[Trained, TrainGraph]:
    """Any module on any batch, and its joint graph."""
    shapes = {name: (tuple(t.shape), t.dtype) for name, t in batch.items()}
    trained = Trained(module, batch)
    return trained, joint(capture(copy.deepcopy(module), shapes), before, after)


def joint(forward: TrainGraph, before: Iterable[Pass] = (), after: Iterable[Pass] = ()) -> TrainGraph:
    runner = Runner()
    runner.run(forward, before)
    return runner.run(differentiate(forward), after)


class Function(nn.Module):
    """A loss written as a function of the module and its batch."""

    def __init__(self, loss: Callable[..., Tensor], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)
        self.loss = loss

    def forward(self, **batch: Tensor) -> Tensor:
        return self.loss(self, **batch)
