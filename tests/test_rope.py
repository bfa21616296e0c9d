"""Rotary embeddings that depend on the length, against transformers' own at exactly that length."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import Gemma3TextConfig, LlamaConfig, Phi3Config, PretrainedConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.causal_lm import CausalLMLoss, loss_module, skeleton_of
from lowpeak_compiler.frontend.rope import longest_sequence
from lowpeak_compiler.ir.graph import Constant
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.normalize import Normalize
from tests.evaluate import Trained
from tests.model.tiny import SHAPE
from tests.models import PREFIX, joint

ONE_LAYER = {**SHAPE, "num_hidden_layers": 1, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
LONG = {
    "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 8,
    "short_factor": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
    "long_factor": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0, "original_max_position_embeddings": 8}
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 2.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 8,
}  # fmt: skip
PLAIN = {"rope_type": "default", "rope_theta": 10000.0}
PARTIAL = {**PLAIN, "partial_rotary_factor": 0.5}


def llama(rope: dict[str, Any], limit: int = 32) -> PretrainedConfig:
    return LlamaConfig(**{**ONE_LAYER, "max_position_embeddings": limit, "rope_parameters": rope})


def phi3(rope: dict[str, Any]) -> PretrainedConfig:
    return Phi3Config(**{**ONE_LAYER, "max_position_embeddings": 32, "rope_parameters": rope})


def gemma3(rope: dict[str, Any], limit: int = 32) -> PretrainedConfig:
    """A local and a global layer; the global one has `rope`."""
    layers = {"num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"]}
    of_layers = {"sliding_attention": PLAIN, "full_attention": rope}
    shape = {**ONE_LAYER, "head_dim": 16, **layers, "max_position_embeddings": limit}
    return Gemma3TextConfig(**{**shape, "rope_parameters": of_layers})


def trained(config: PretrainedConfig, tokens: int) -> Trained:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    lora = LoraConfig(r=2, target_modules=["q_proj", "qkv_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(model, lora).eval()
    for parameter in adapted.parameters():
        nn.init.normal_(parameter, std=0.05)
    ids = torch.randint(0, 96, (1, tokens))
    return Trained(CausalLMLoss(adapted).eval(), {"input_ids": ids, "targets": ids.roll(-1, 1)}, PREFIX)


def check(model: Trained, tokens: int) -> set[str]:
    """Compiles and compares; the names of the constants."""
    shapes = {name: ((1, tokens), torch.int64) for name in ("input_ids", "targets")}
    forward = capture(loss_module(skeleton_of(model.module.model), tokens), shapes, prefix=PREFIX)
    graph = joint(forward, [Attention()], [Normalize()])
    model.check(graph)
    return {role.name for role in graph.roles.values() if isinstance(role, Constant)}


@pytest.mark.parametrize("tokens", [6, 8, 9, 20])
def test_longrope_takes_the_factors_of_the_length(tokens):
    assert len(check(trained(phi3(LONG), tokens), tokens)) == 2


@pytest.mark.parametrize("tokens", [6, 16, 17, 30])
def test_dynamic_scaling_has_the_base_of_the_length(tokens):
    check(trained(llama(DYNAMIC, 16), tokens), tokens)


@pytest.mark.parametrize(("rope", "before"), [(LONG, 20), (DYNAMIC, 30)])
def test_a_former_call_with_another_length_changes_nothing(rope, before):
    model = trained(llama(rope, 16), 12)
    fresh = copy.deepcopy(model)
    ids = torch.randint(0, 96, (1, before))
    model.module(input_ids=ids, targets=ids)
    shapes = {name: ((1, 12), torch.int64) for name in ("input_ids", "targets")}
    forward = capture(loss_module(skeleton_of(model.module.model), 12), shapes, prefix=PREFIX)
    fresh.check(joint(forward, [Attention()], [Normalize()]))


@pytest.mark.parametrize("rope", [LONG, DYNAMIC, {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}])
def test_types_of_layers_have_ropes_of_their_own(rope):
    check(trained(gemma3(rope, 10), 14 if rope is DYNAMIC else 10), 14 if rope is DYNAMIC else 10)


@pytest.mark.parametrize("rope", [YARN, LLAMA3, {**DYNAMIC, "rope_type": "linear"}])
def test_ropes_of_fixed_frequencies(rope):
    check(trained(llama(rope), 12), 12)


def test_partial_rotary():
    check(trained(phi3(PARTIAL), 12), 12)


def test_the_longest_sequence_of_dynamic_scaling():
    assert longest_sequence(llama(DYNAMIC, 16)) == 32
    assert longest_sequence(llama(YARN, 16)) == 16
    assert longest_sequence(gemma3(DYNAMIC, 16)) == 32
    with pytest.raises(ModelError, match=r"seq_len is 33 tokens.*maximum is 32"):
        check(trained(llama(DYNAMIC, 16), 8), 33)
