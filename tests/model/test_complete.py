"""What a checkpoint leaves out is filled in; what does not fit the model is refused."""

from __future__ import annotations

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel, PreTrainedModel

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.complete import CompleteWeights, derived_buffers
from lowpeak_compiler.frontend.model.weights import RandomWeights
from tests.model.tiny import tiny_model, tiny_skeleton

LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


def _stored(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(each.shape) for name, each in model.named_parameters()}


def _complete(shapes: dict[str, tuple[int, ...]], model: PreTrainedModel) -> CompleteWeights:
    return CompleteWeights(RandomWeights(shapes, seed=0, std=0.02), model)


@pytest.mark.parametrize("rope", [{"rope_type": "default", "rope_theta": 10000.0}, LLAMA3_ROPE])
def test_derived_buffers_are_those_of_a_loaded_model(rope: dict[str, object]) -> None:
    expected = dict(tiny_model(rope_parameters=rope).named_buffers())
    buffers = derived_buffers(tiny_skeleton(rope_parameters=rope))
    assert buffers.keys() == expected.keys()
    assert all(torch.equal(buffers[name], expected[name]) for name in expected)


def test_buffer_without_a_rule_is_refused() -> None:
    model = tiny_skeleton()
    model.model.register_buffer("table", torch.zeros(3, device="meta"), persistent=False)
    with pytest.raises(ModelError, match=r"buffer model.table of LlamaModel cannot be computed"):
        derived_buffers(model)


@pytest.mark.parametrize("left_out", ["lm_head.weight", "model.embed_tokens.weight"])
def test_a_tied_tensor_has_the_values_of_the_one_stored(left_out: str) -> None:
    model = tiny_skeleton(tie_word_embeddings=True)
    shapes = _stored(model) | {"lm_head.weight": (96, 64), "model.embed_tokens.weight": (96, 64)}
    del shapes[left_out]
    weights = _complete(shapes, model)
    assert torch.equal(weights.dense("lm_head.weight"), weights.dense("model.embed_tokens.weight"))
    assert set(weights.names()) == {*model.state_dict(), *dict(model.named_buffers())}
    assert weights.shape("lm_head.weight") == (96, 64)
    assert weights.shape("model.rotary_emb.inv_freq") == (8,)
    assert weights.format_of("model.rotary_emb.inv_freq") is None


def test_tied_head_stored_twice_is_the_embedding() -> None:
    model = tiny_skeleton(tie_word_embeddings=True)
    weights = _complete(_stored(model) | {"lm_head.weight": (96, 64)}, model)
    assert torch.equal(weights.dense("lm_head.weight"), weights.dense("model.embed_tokens.weight"))


def test_missing_tensor_is_named() -> None:
    model = tiny_skeleton()
    shapes = _stored(model)
    del shapes["model.layers.1.mlp.up_proj.weight"]
    with pytest.raises(ModelError, match=r"no tensor model.layers.1.mlp.up_proj.weight .*nearest"):
        _complete(shapes, model)


def test_other_shape_is_refused() -> None:
    model = tiny_skeleton()
    shapes = _stored(model) | {"model.norm.weight": (32,)}
    with pytest.raises(ModelError, match=r"model.norm.weight has shape \[32\] in the checkpoint but \[64\]"):
        _complete(shapes, model)


def test_tensor_that_the_model_lacks_is_refused() -> None:
    model = tiny_skeleton()
    old_buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": (8,)}
    _complete(_stored(model) | old_buffer, model)
    with pytest.raises(ModelError, match=r"1 tensors that LlamaForCausalLM has not \(model.layers.0.*bias"):
        _complete(_stored(model) | {"model.layers.0.self_attn.q_proj.bias": (64,)}, model)


def test_buffers_of_integers_keep_their_values() -> None:
    config = BertConfig(
        vocab_size=96, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, is_decoder=True,
    )  # fmt: skip
    with torch.device("meta"):
        skeleton = BertLMHeadModel(config)
    expected = dict(BertLMHeadModel(config).named_buffers())
    buffers = derived_buffers(skeleton)
    name = "bert.embeddings.position_ids"
    assert buffers[name].dtype is torch.int64 and torch.equal(buffers[name], expected[name])
