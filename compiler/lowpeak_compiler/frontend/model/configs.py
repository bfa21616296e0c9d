"""Known models by name, for planning and benchmarks without their weights: `config:<name>`, or
`config:<name>@<layers>` for the first layers of one.

Shapes, rope settings, ties and vocabularies are those of the published checkpoints. Names are checked without
transformers, which takes seconds to import.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lowpeak_artifact.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

SCHEME = "config:"

_LLAMA32: dict[str, Any] = {
    "vocab_size": 128256,
    "intermediate_size": 8192,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "rope_parameters": {
        "rope_type": "llama3",
        "rope_theta": 500000.0,
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}

_QWEN25: dict[str, Any] = {
    "vocab_size": 151936,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "bos_token_id": 151643,
    "eos_token_id": 151643,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
}


@dataclass(frozen=True)
class _Known:
    config_class: Literal["LlamaConfig", "Qwen2Config"]
    layers: int
    fields: dict[str, Any]
    """Of the config, all but the number of layers."""


_KNOWN = {
    "llama-3.2-1b": _Known(
        "LlamaConfig", 16, {**_LLAMA32, "hidden_size": 2048, "num_attention_heads": 32, "head_dim": 64}
    ),
    "llama-3.2-3b": _Known(
        "LlamaConfig", 28, {**_LLAMA32, "hidden_size": 3072, "num_attention_heads": 24, "head_dim": 128}
    ),
    "qwen2.5-0.5b": _Known(
        "Qwen2Config",
        24,
        {
            **_QWEN25,
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_attention_heads": 14,
            "max_position_embeddings": 32768,
        },
    ),
    "qwen2.5-1.5b": _Known(
        "Qwen2Config",
        28,
        {
            **_QWEN25,
            "hidden_size": 1536,
            "intermediate_size": 8960,
            "num_attention_heads": 12,
            "max_position_embeddings": 131072,
        },
    ),
    "qwen2.5-3b": _Known(
        "Qwen2Config",
        36,
        {
            **_QWEN25,
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_attention_heads": 16,
            "max_position_embeddings": 32768,
        },
    ),
    "tinyllama-1.1b": _Known(
        "LlamaConfig",
        22,
        {
            "vocab_size": 32000,
            "hidden_size": 2048,
            "intermediate_size": 5632,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "tie_word_embeddings": False,
        },
    ),
    "smollm2-135m": _Known(
        "LlamaConfig",
        30,
        {
            "vocab_size": 49152,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "max_position_embeddings": 8192,
            "rms_norm_eps": 1e-5,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0},
            "tie_word_embeddings": True,
            "initializer_range": 0.041666666666666664,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    ),
}


def known_names() -> list[str]:
    """The names that `known_config` takes."""
    return list(_KNOWN)


def require_known(name: str) -> None:
    """Raises ModelError, which lists the known names, for another name, and for layers that it has not."""
    known, cut, layers = name.partition("@")
    if known not in _KNOWN:
        raise ModelError(f"unknown model config:{name}; known are {', '.join(_KNOWN)}")
    most = _KNOWN[known].layers
    if cut and (not layers.isdecimal() or not 1 <= int(layers) <= most):
        raise ModelError(f"config:{name}: {known} has 1 to {most} layers, not {layers!r}")


def known_config(name: str) -> PretrainedConfig:
    """A fresh config of a known model, cut after `layers` for `<known>@<layers>`.

    Raises ModelError as `require_known`.
    """
    import transformers

    require_known(name)
    whole, _, layers = name.partition("@")
    known = _KNOWN[whole]
    config_class: type[PretrainedConfig] = getattr(transformers, known.config_class)
    return config_class(**{**known.fields, "num_hidden_layers": int(layers or known.layers)})
