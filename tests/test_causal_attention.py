"""Masks that a model changes, attention that is not causal, and losses that are not of the next token."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import BartConfig, MixtralConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.causal_lm import (
    CausalLMLoss,
    default_lora,
    loss_module,
    skeleton_of,
    with_lora,
)
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import Trained
from tests.model.tiny import SHAPE
from tests.models import PREFIX, joint, language_model
from tests.small_models import small_model

TOKENS = 12
FUSED = torch.ops.lowpeak.causal_attention.default


def forward_graph(model: Any, tokens: int = TOKENS) -> TrainGraph:
    shapes = {name: ((1, tokens), torch.int64) for name in ("input_ids", "targets")}
    return capture(loss_module(skeleton_of(model), tokens), shapes, prefix=PREFIX)


def fused(graph: TrainGraph) -> int:
    Runner().run(graph, [Attention()])
    return sum(node.target is FUSED for node in graph.operations())


def test_the_models_own_causal_mask_is_no_mask():
    graph = forward_graph(language_model("llama").module.model)
    assert fused(graph) == 1
    assert not any("arange" in str(n.target) and n.meta["val"].dim() == 2 for n in graph.operations())


def test_a_bias_that_the_model_puts_into_its_mask_counts():
    """Doge's attention weighs keys by a mask that it learns."""
    model = get_peft_model(
        small_model("doge"), LoraConfig(r=2, target_modules=["dt_proj", "q_proj"], task_type="CAUSAL_LM")
    ).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.05)
    ids = torch.randint(0, 96, (1, TOKENS))
    trained = Trained(CausalLMLoss(model).eval(), {"input_ids": ids, "targets": ids.roll(-1, 1)}, PREFIX)
    trained.check(joint(forward_graph(model), [Attention()], [Normalize()]))


def test_a_window_that_the_config_names_elsewhere_stays_in_the_mask():
    """Every layer of its own: the window of Gemma 3's local layers."""
    model = get_peft_model(
        small_model("gemma3_text"), LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    ).eval()
    model.get_base_model().config.sliding_window = 64
    assert fused(forward_graph(model)) == 2
    model.get_base_model().config.sliding_window = 4
    with pytest.raises(ModelError, match=r"sliding attention window of 4"):
        forward_graph(model)


def test_a_loss_of_labels_that_are_not_shifted_is_refused():
    model = AutoModelForCausalLM.from_config(
        BartConfig(vocab_size=32, d_model=16, decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=16)
    )
    with pytest.raises(ModelError, match=r"BartForCausalLM takes labels that are shifted already"):
        loss_module(with_lora(skeleton_of(model), default_lora()), TOKENS)


def test_a_routers_loss_is_refused():
    shape = {**SHAPE, "num_hidden_layers": 1, "num_local_experts": 2}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(MixtralConfig(**shape, output_router_logits=True))
    with pytest.raises(ModelError, match=r"output_router_logits=False"):
        loss_module(with_lora(model, LoraConfig(r=2, target_modules=["q_proj"])), TOKENS)
