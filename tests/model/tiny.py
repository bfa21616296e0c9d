"""Tiny models for the tests of lowpeak_compiler.frontend.model, in memory, as folders and as GGUF files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as GgmlType
from transformers import GemmaConfig, LlamaConfig, PretrainedConfig, PreTrainedModel, Qwen2Config
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

SHAPE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}

GGUF_MODULES = {
    "embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def tiny_config(kind: str = "llama", **changes: Any) -> PretrainedConfig:
    kinds = {"llama": LlamaConfig, "qwen2": Qwen2Config, "gemma": partial(GemmaConfig, head_dim=16)}
    return kinds[kind](**{**SHAPE, **changes})


def tiny_model(kind: str = "llama", **changes: Any) -> PreTrainedModel:
    """A model whose every tensor, biases and norms too, has random values."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(tiny_config(kind, **changes), dtype=torch.float32)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


def tiny_skeleton(kind: str = "llama", **changes: Any) -> PreTrainedModel:
    """The model on the meta device. (`tiny_model().to("meta")` would untie tied tensors.)"""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(tiny_config(kind, **changes), dtype=torch.float32)


def gguf_name(name: str) -> str:
    """The GGUF name of a Hugging Face parameter."""
    module, kind = name.rsplit(".", 1)
    layer = f"blk.{module.split('.')[2]}." if ".layers." in module else ""
    return layer + next(to for of, to in GGUF_MODULES.items() if module.endswith(of)) + "." + kind


def interleave(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """What llama.cpp's converter does to the q and k rows of a llama."""
    rows = weight.shape[0]
    return (
        weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).transpose(1, 2).reshape(weight.shape)
    )


def write_gguf(
    path: Path,
    model: PreTrainedModel,
    types: dict[str, GgmlType],
    rope_factors: torch.Tensor | None = None,
    vocabulary: list[str] | None = None,
) -> dict[str, np.ndarray]:
    """Write the model; a tensor's type is that of the first key its GGUF name ends with, F32 otherwise.

    `vocabulary`: of a byte-level tokenizer that merges a and b. Returns the stored bytes by GGUF name.
    """
    config = model.config
    writer = gguf.GGUFWriter(path, config.model_type)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_token_list(vocabulary or [f"token {i}" for i in range(config.vocab_size)])
    if vocabulary:
        writer.add_tokenizer_model("gpt2")
        writer.add_token_merges(["a b"])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    stored: dict[str, np.ndarray] = {}
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, parameter in model.named_parameters():
        values, to = parameter.detach(), gguf_name(name)
        module = name.split(".")[-2]
        if config.model_type == "llama" and module in heads:
            values = interleave(values, heads[module])
        kind = next((type for end, type in types.items() if to.endswith(end)), GgmlType.F32)
        stored[to] = gguf.quantize(values.numpy(), kind)
        writer.add_tensor(to, stored[to], raw_dtype=kind)
    if rope_factors is not None:
        writer.add_tensor("rope_freqs.weight", rope_factors.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored
