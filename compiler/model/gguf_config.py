"""GGUF metadata -> Hugging Face config, for the architectures whose tensors we can name."""

from __future__ import annotations

from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import LlamaConfig, PretrainedConfig, Qwen2Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from compiler.errors import ModelError
from compiler.model.gguf_fields import require_understood
from compiler.model.gguf_file import GgufFile, Scalar

_CONFIG_CLASSES: dict[str, type[PretrainedConfig]] = {"llama": LlamaConfig, "qwen2": Qwen2Config}

_TOKEN_IDS = {
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "pad_token_id": "padding_token_id",
    "unk_token_id": "unknown_token_id",
}


def architecture(file: GgufFile) -> str:
    """`llama` or `qwen2`. Raises ModelError for another one."""
    name = str(file.metadata.get("general.architecture"))
    if name not in _CONFIG_CLASSES:
        raise ModelError(
            f"{file.path} holds a {name} model; of GGUF files only {' and '.join(_CONFIG_CLASSES)} are read: "
            "give the checkpoint folder instead"
        )
    return name


def read_config(file: GgufFile, rope_factors: torch.Tensor | None) -> PretrainedConfig:
    """The config of the model in the file.

    `rope_factors` is the file's rope_freqs.weight, float32 [head_dim / 2]: the rope scaling of a Llama 3.
    Raises ModelError when the file lacks a field, has one that changes the model in a way that is not
    implemented, or scales rope in a way that is not Llama 3's.
    """
    kind = architecture(file)
    require_understood(file, kind)

    def field(key: str, *default: Scalar) -> Any:
        value = file.metadata.get(f"{kind}.{key}", *default)
        if value is None:
            raise ModelError(f"{file.path} has no field {kind}.{key}: it is not a whole {kind} model")
        return value

    def count(key: str, *default: Scalar) -> int:
        value = field(key, *default)
        if not isinstance(value, int) or value <= 0:
            raise ModelError(f"{file.path} has {kind}.{key} = {value}: it must be a positive whole number")
        return value

    if "token_embd.weight" not in file.tensors:
        raise ModelError(f"{file.path} has no token_embd.weight: it is not a whole {kind} model")
    layers = count("block_count")
    if f"blk.{layers - 1}.attn_norm.weight" not in file.tensors:
        raise ModelError(f"{file.path} should have {layers} layers but has no tensor of the last")
    scaling = field("rope.scaling.type", "none")
    if scaling != "none":
        raise ModelError(
            f"{file.path} has rope scaling of type {scaling}: give the checkpoint folder instead"
        )
    heads, hidden = count("attention.head_count"), count("embedding_length")
    theta = field("rope.freq_base", 10000.0)
    if not theta > 0:
        raise ModelError(f"{file.path} has {kind}.rope.freq_base = {theta}: it must be positive")
    shape: dict[str, Any] = {
        "vocab_size": file.tensors["token_embd.weight"].shape[0],
        "hidden_size": hidden,
        "intermediate_size": count("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": count("attention.head_count_kv", heads),
        "max_position_embeddings": count("context_length"),
        "rms_norm_eps": field("attention.layer_norm_rms_epsilon"),
        "rope_parameters": {"rope_type": "default", "rope_theta": theta},
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    rotary = count("rope.dimension_count", count("attention.key_length", hidden // heads))
    head_dim = count("attention.key_length", rotary)
    if rotary != head_dim:
        raise ModelError(
            f"{file.path} rotates {rotary} of the {head_dim} dimensions of a head, which is not "
            "implemented: give the checkpoint folder instead"
        )
    if kind == "llama":
        shape["head_dim"] = head_dim
    for ours, theirs in _TOKEN_IDS.items():
        if f"tokenizer.ggml.{theirs}" in file.metadata:
            shape[ours] = file.metadata[f"tokenizer.ggml.{theirs}"]
    try:
        config = _CONFIG_CLASSES[kind](**shape)
    except (StrictDataclassError, ValueError, TypeError, ArithmeticError) as error:
        raise ModelError(f"{file.path} has fields that do not make a {kind} model: {error}") from error
    return config if rope_factors is None else _with_llama3_rope(config, rope_factors, str(file.path))


def _with_llama3_rope(config: PretrainedConfig, factors: torch.Tensor, path: str) -> PretrainedConfig:
    """The config with the rope scaling whose effect is to divide the rotary frequencies by `factors`.

    Every Llama 3.1, 3.2 and 3.3 has these parameters but for the factor, which is the largest of `factors`.
    """
    plain = config.rope_parameters["rope_theta"] ** (-torch.arange(len(factors)) / len(factors))
    config.rope_parameters = {
        "rope_type": "llama3",
        "rope_theta": config.rope_parameters["rope_theta"],
        "factor": factors.max().item(),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    if scaled.shape != plain.shape or not torch.allclose(scaled, plain / factors, rtol=1e-4, atol=0):
        raise ModelError(f"{path} scales rope by factors that are not Llama 3's: give the checkpoint folder")
    return config
