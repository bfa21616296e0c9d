"""GGUF metadata -> Hugging Face config, for the architectures whose tensors we can name."""

from __future__ import annotations

import math
import re
from typing import Any, NoReturn

import torch
from transformers import LlamaConfig, PretrainedConfig, Qwen2Config
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.json_file import plain
from lowpeak_compiler.frontend.model.config_file import MOST_NUMBER
from lowpeak_compiler.frontend.model.gguf_fields import require_understood
from lowpeak_compiler.frontend.model.gguf_file import GgufFile, Scalar
from lowpeak_compiler.frontend.model.weights import require_finite

_CONFIG_CLASSES: dict[str, type[PretrainedConfig]] = {"llama": LlamaConfig, "qwen2": Qwen2Config}

_LAYER = re.compile(r"blk\.\d+\.attn_norm\.weight")
_FACTORS = "rope_freqs.weight"
_ITEMS_A_TOKEN, _ITEMS = 8, 10_000

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
            f"{file.path} holds a {plain(name)} model; of GGUF files only "
            f"{' and '.join(_CONFIG_CLASSES)} are read: give the checkpoint folder instead"
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

    def refuse(key: str, value: object, must: str) -> NoReturn:
        raise ModelError(f"{file.path} has {key} = {plain(value)}: it must be {must}")

    def count(key: str, *default: Scalar) -> int:
        value = field(key, *default)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            refuse(f"{kind}.{key}", value, "a positive whole number")
        if value > MOST_NUMBER:
            refuse(f"{kind}.{key}", value, f"at most {MOST_NUMBER}")
        return value

    def number(key: str, most: float, *default: Scalar) -> float:
        value = field(key, *default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value < most:
            words = "a positive number" if math.isinf(most) else f"over 0 and below {most:g}"
            refuse(f"{kind}.{key}", value, words)
        return value

    def rows(name: str) -> int:
        return file.tensors[name].shape[0] if name in file.tensors else 0

    if "token_embd.weight" not in file.tensors:
        raise ModelError(f"{file.path} has no token_embd.weight: it is not a whole {kind} model")
    layers = count("block_count")
    stored = sum(_LAYER.fullmatch(name) is not None for name in file.tensors)
    if stored != layers:
        raise ModelError(
            f"{file.path} should have {layers} layers ({kind}.block_count) but has tensors of {stored}",
            layers=layers,
            stored=stored,
        )
    scaling = field("rope.scaling.type", "none")
    if scaling != "none":
        raise ModelError(
            f"{file.path} has rope scaling of type {plain(scaling)}: give the checkpoint folder instead"
        )
    heads, hidden = count("attention.head_count"), count("embedding_length")
    shape: dict[str, Any] = {
        "vocab_size": rows("token_embd.weight"),
        "hidden_size": hidden,
        "intermediate_size": count("feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": count("attention.head_count_kv", heads),
        "max_position_embeddings": count("context_length"),
        "rms_norm_eps": number("attention.layer_norm_rms_epsilon", 1),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": number("rope.freq_base", math.inf, 10000.0),
        },
        "tie_word_embeddings": "output.weight" not in file.tensors,
    }
    rotary = count("rope.dimension_count", count("attention.key_length", hidden // heads))
    head_dim = count("attention.key_length", rotary)
    if rotary != head_dim:
        raise ModelError(
            f"{file.path} rotates {rotary} of the {head_dim} dimensions of a head, which is not "
            "implemented: give the checkpoint folder instead"
        )
    stored_shape = file.tensors["token_embd.weight"].shape
    if stored_shape[1:] != (hidden,):
        refuse(
            f"{kind}.embedding_length", hidden, f"that of token_embd.weight, which is {list(stored_shape)}"
        )
    for key, value, name, expected in (
        ("feed_forward_length", shape["intermediate_size"], "blk.0.ffn_gate.weight", 1),
        ("attention.head_count", heads, "blk.0.attn_q.weight", head_dim),
        ("attention.head_count_kv", shape["num_key_value_heads"], "blk.0.attn_k.weight", head_dim),
    ):
        if value * expected != rows(name):
            refuse(f"{kind}.{key}", value, f"that of {name}, which has {rows(name)} rows")
    if head_dim % 2:
        refuse(f"{kind}.attention.key_length", head_dim, "even, as rotary embeddings turn pairs")
    _require_vocabulary(file, shape["vocab_size"])
    if kind == "llama":
        shape["head_dim"] = head_dim
    for ours, theirs in _TOKEN_IDS.items():
        if f"tokenizer.ggml.{theirs}" in file.metadata:
            value = file.metadata[f"tokenizer.ggml.{theirs}"]
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                refuse(f"tokenizer.ggml.{theirs}", value, "a token's number")
            shape[ours] = value
    try:
        config = _CONFIG_CLASSES[kind](**shape)
    # Its checks are of many kinds.
    except Exception as error:
        raise ModelError(f"{file.path} has fields that do not make a {kind} model: {error}") from error
    return config if rope_factors is None else _with_llama3_rope(config, rope_factors, str(file.path))


def _require_vocabulary(file: GgufFile, tokens: int) -> None:
    """ModelError for lists of the tokenizer that are out of all proportion to the embedding of `tokens` rows:
    who reads them makes an object of each item.
    """
    for key, items in file.lists.items():
        if items > tokens * _ITEMS_A_TOKEN + _ITEMS:
            raise ModelError(
                f"{file.path} has {items} items in {plain(key)}, but an embedding of {tokens} tokens",
                items=items,
                tokens=tokens,
            )


def _with_llama3_rope(config: PretrainedConfig, factors: torch.Tensor, path: str) -> PretrainedConfig:
    """The config with the rope scaling whose effect is to divide the rotary frequencies by `factors`.

    Every Llama 3.1, 3.2 and 3.3 has these parameters but for the factor, which is the largest of `factors`.
    """
    require_finite(_FACTORS, factors)
    if factors.dim() != 1 or not (factors > 0).all():
        raise ModelError(f"{path} has {_FACTORS} that are no list of positive numbers: it is damaged")
    unscaled = config.rope_parameters["rope_theta"] ** (-torch.arange(len(factors)) / len(factors))
    config.rope_parameters = {
        "rope_type": "llama3",
        "rope_theta": config.rope_parameters["rope_theta"],
        "factor": factors.max().item(),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    if scaled.shape != unscaled.shape or not torch.allclose(scaled, unscaled / factors, rtol=1e-4, atol=0):
        raise ModelError(f"{path} scales rope by factors that are not Llama 3's: give the checkpoint folder")
    return config
