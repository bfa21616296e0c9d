"""A small model of any causal LM type that transformers has: its default config, with every size shrunk."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, AutoModelForCausalLM

MOST_PARAMETERS = 4_000_000
NOISE = 0.05
"""Standard deviation of what is added to every parameter, biases and norms too."""

SIZES: dict[str, int] = {
    **dict.fromkeys(("vocab_size", "n_tokens", "audio_vocab_size", "vocab_size_per_layer_input"), 96),
    **dict.fromkeys(
        ("hidden_size", "n_embd", "d_model", "dim", "emb_dim", "embed_dim", "embedding_size"), 32
    ),
    **dict.fromkeys(("embedding_dim", "attention_hidden_size", "lru_width", "linear_attn_hidden_size"), 32),
    **dict.fromkeys(
        ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "d_inner", "dim_ff", "ffn_hidden_size"), 64
    ),
    **dict.fromkeys(
        ("encoder_ffn_dim", "decoder_ffn_dim", "dff", "mlp_hidden_size", "expert_ffn_hidden_size"), 64
    ),
    **dict.fromkeys(
        ("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 32
    ),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "num_blocks"), 2),
    **dict.fromkeys(("encoder_layers", "decoder_layers", "num_encoder_layers", "num_decoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "n_head_kv", "num_kv_heads", "swa_num_key_value_heads"), 2),
    **dict.fromkeys(("head_dim", "attention_head_dim", "kv_channels", "d_kv", "global_head_dim"), 8),
    **dict.fromkeys(
        ("qk_nope_head_dim", "v_head_dim", "qk_rope_head_dim", "swa_head_dim", "swa_v_head_dim"), 8
    ),
    **dict.fromkeys(("qk_head_dim",), 16),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank", "index_head_dim", "o_lora_rank"), 16),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(
        ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk", "top_k_experts"), 2
    ),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "num_shared_experts"), 1),
    **dict.fromkeys(("zero_expert_num",), 2),
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length"), 128
    ),
    **dict.fromkeys(("max_target_positions", "max_source_positions", "context_length"), 128),
    **dict.fromkeys(("ssm_state_size", "state_size", "mamba_d_state", "d_state", "mamba_d_ssm"), 16),
    **dict.fromkeys(
        ("linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim", "linear_value_head_dim"), 4
    ),
    **dict.fromkeys(("mamba_n_heads",), 4),
    **dict.fromkeys(("mamba_d_head", "mamba_headdim"), 16),
    **dict.fromkeys(("rotary_dim", "rotary_ndims"), 4),
    **dict.fromkeys(("hidden_size_per_layer_input", "laurel_rank"), 8),
    **dict.fromkeys(("chunk_size", "mamba_chunk_size"), 8),
    **dict.fromkeys(("pad_token_id",), 0),
    **dict.fromkeys(("bos_token_id", "decoder_start_token_id", "sep_token_id"), 1),
    **dict.fromkeys(("eos_token_id",), 2),
}
"""By the name of a config's field; a field that is None stays None."""


def causal_lm_types() -> list[str]:
    return list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


_ROPE = {"rope_theta": 10000.0, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
OF_TYPE: dict[str, dict[str, Any]] = {
    "dots1": {"n_shared_experts": 1, "n_routed_experts": 4},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "hunyuan_v1_dense": _ROPE,
    "hunyuan_v1_moe": _ROPE,
    "mamba2": {"head_dim": 16},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "ministral": {**_ROPE, "layer_types": ["full_attention", "sliding_attention"]},
    "nemotron": {"num_key_value_heads": 2},
}
"""What a type's default config needs to be built at all, or small."""


def small_config(kind: str) -> PretrainedConfig:
    """The default config of a model type with small sizes, two layers or one of each kind."""
    return CONFIG_MAPPING[kind](**{**_shrunk(CONFIG_MAPPING[kind]()), **OF_TYPE.get(kind, {})})


def _shrunk(config: PretrainedConfig) -> dict[str, Any]:
    values = config.to_dict()
    changes: dict[str, Any] = {
        name: min(value, SIZES[name])
        for name, value in values.items()
        if name in SIZES and isinstance(value, int) and not isinstance(value, bool)
    }
    if values.get("num_key_value_heads") == values.get("num_attention_heads", 0):
        changes["num_key_value_heads"] = changes["num_attention_heads"]
    for name in config.sub_configs:
        part = getattr(config, name, None)
        if part is not None:
            changes[name] = {**part.to_dict(), **_shrunk(part)}
    derived = "layer_types" in config.attribute_map or isinstance(
        getattr(type(config), "layer_types", None), property
    )
    kinds = [] if derived else list(dict.fromkeys(values.get("layer_types") or ()))
    if kinds:
        kinds = kinds if len(kinds) > 1 else kinds * 2
        changes.update(layer_types=kinds, num_hidden_layers=len(kinds))
    return changes


def small_model(kind: str) -> PreTrainedModel:
    """Random weights, eval mode. Raises whatever transformers does for a config that it cannot build."""
    config = small_config(kind)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if parameters > MOST_PARAMETERS:
        raise ValueError(f"{parameters} parameters are left, over {MOST_PARAMETERS}")
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(NOISE * torch.randn(parameter.shape))
    return model.eval()
