from __future__ import annotations

import copy

import pytest
import torch
from peft import LoraConfig

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.causal_lm import ATTENTION, loss_module, skeleton_of, with_lora
from tests.model.tiny import tiny_model, tiny_skeleton
from tests.models import TOKENS, language_model


def test_the_callers_model_is_not_changed():
    model = language_model("llama", tie_word_embeddings=True).module.model
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainable = [name for name, p in model.named_parameters() if p.requires_grad]
    config, training = copy.deepcopy(model.get_base_model().config), model.training
    shapes = {name: ((1, TOKENS), torch.int64) for name in ("input_ids", "targets")}
    capture(loss_module(skeleton_of(model), TOKENS), shapes)
    assert model.get_base_model().config.to_dict() == config.to_dict()
    assert model.get_base_model().config._attn_implementation == config._attn_implementation != ATTENTION
    assert [name for name, p in model.named_parameters() if p.requires_grad] == trainable
    assert model.training is training
    for name, parameter in model.named_parameters():
        assert type(parameter) is torch.nn.Parameter and torch.equal(parameter, before[name]), name


def test_a_skeleton_has_no_weights_and_keeps_ties():
    model = tiny_model("llama", tie_word_embeddings=True)
    skeleton = skeleton_of(model)
    assert all(parameter.is_meta for parameter in skeleton.parameters())
    assert skeleton.lm_head.weight is skeleton.model.embed_tokens.weight
    assert not any(parameter.is_meta for parameter in model.parameters())


def test_lora_names_and_parameters():
    adapted = with_lora(
        tiny_skeleton("llama", num_hidden_layers=1), LoraConfig(r=2, target_modules=["q_proj"])
    )
    trainable = [name for name, p in adapted.named_parameters() if p.requires_grad]
    stem = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    assert trainable == [f"{stem}A.default.weight", f"{stem}B.default.weight"]


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        (LoraConfig(r=4, target_modules=["no_such_module"]), "does not fit the model.*no_such_module"),
        (type("Zero", (), {"r": 0})(), "rank is 0; it must be at least 1"),
    ],
)
def test_adapters_that_do_not_fit(lora, message):
    with pytest.raises(ModelError, match=message):
        with_lora(tiny_skeleton("llama"), lora)


def test_seq_len_over_the_models_maximum():
    adapted = with_lora(tiny_skeleton("llama", max_position_embeddings=32), None)
    loss_module(adapted, 32)
    with pytest.raises(ModelError, match=r"seq_len is 33 tokens.*use seq_len 32") as caught:
        loss_module(adapted, 33)
    assert caught.value.numbers == {"seq_len": 33, "maximum": 32}


@pytest.mark.parametrize(
    ("used", "seq_len", "refused"), [(True, 9, True), (True, 8, False), (False, 9, False)]
)
def test_sliding_window(used, seq_len, refused):
    skeleton = tiny_skeleton("qwen2", use_sliding_window=used, sliding_window=8, max_window_layers=0)
    adapted = with_lora(skeleton, None)
    if refused:
        with pytest.raises(ModelError, match=r"sliding attention window of 8") as caught:
            loss_module(adapted, seq_len)
        assert caught.value.numbers == {"seq_len": 9, "maximum": 8}
    else:
        loss_module(adapted, seq_len)


def test_attention_with_a_softcap_is_refused():
    from transformers import Gemma2Config
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM

    config = Gemma2Config(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8,
        attn_logit_softcapping=50.0, sliding_window=64,
        max_position_embeddings=64,
    )  # fmt: skip
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shapes = {name: ((1, 8), torch.int64) for name in ("input_ids", "targets")}
    with pytest.raises(ModelError, match=r"softcap"):
        capture(loss_module(with_lora(model, LoraConfig(r=2, target_modules=["q_proj"])), 8), shapes)


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"lora_alpha": 0}, "lora_alpha of the LoRA configuration is 0: it must be a number over 0"),
        ({"lora_alpha": -16}, "lora_alpha of the LoRA configuration is -16"),
        ({"lora_alpha": float("nan")}, "lora_alpha of the LoRA configuration is nan"),
        ({"lora_alpha": float("inf")}, "lora_alpha of the LoRA configuration is inf"),
        ({"lora_alpha": "16"}, "lora_alpha of the LoRA configuration is '16'"),
        ({"alpha_pattern": {"q_proj": float("nan")}}, "q_proj of the LoRA configuration is nan"),
        ({"rank_pattern": {"q_proj": 0}}, "q_proj of the LoRA configuration is 0"),
        ({"rank_pattern": {"q_proj": 1.5}}, "the rank q_proj of the LoRA configuration is 1.5: it must be"),
    ],
)
def test_scales_and_ranks_that_are_no_positive_numbers(lora, message):
    with pytest.raises(ModelError, match=message):
        with_lora(tiny_skeleton("llama"), LoraConfig(**{"target_modules": ["q_proj"], **lora}))
