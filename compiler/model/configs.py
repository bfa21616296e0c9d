"""Known models by name, for planning and benchmarks without their weights: `config:<name>`, or
`config:<name>@<layers>` for the first layers of one.

Shapes, rope settings, ties and vocabularies are those of the published checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import LlamaConfig, PretrainedConfig, Qwen2Config

from compiler.errors import ModelError


def _llama32(**shape: Any) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=128256,
        intermediate_size=8192,
        num_key_value_heads=8,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=128000,
        eos_token_id=128001,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        **shape,
    )


def _qwen25(**shape: Any) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=151936,
        num_key_value_heads=2,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=151643,
        eos_token_id=151643,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        **shape,
    )


_CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "llama-3.2-1b": lambda: _llama32(
        hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, head_dim=64
    ),
    "llama-3.2-3b": lambda: _llama32(
        hidden_size=3072, num_hidden_layers=28, num_attention_heads=24, head_dim=128
    ),
    "qwen2.5-0.5b": lambda: _qwen25(
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        max_position_embeddings=32768,
    ),
    "qwen2.5-1.5b": lambda: _qwen25(
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        max_position_embeddings=131072,
    ),
    "qwen2.5-3b": lambda: _qwen25(
        hidden_size=2048,
        intermediate_size=11008,
        num_hidden_layers=36,
        num_attention_heads=16,
        max_position_embeddings=32768,
    ),
    "tinyllama-1.1b": lambda: LlamaConfig(
        vocab_size=32000,
        hidden_size=2048,
        intermediate_size=5632,
        num_hidden_layers=22,
        num_attention_heads=32,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
    ),
    "smollm2-135m": lambda: LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True,
        initializer_range=0.041666666666666664,
        bos_token_id=0,
        eos_token_id=0,
    ),
}


def known_names() -> list[str]:
    """The names that `known_config` takes."""
    return list(_CONFIGS)


def known_config(name: str) -> PretrainedConfig:
    """A fresh config of a known model, cut after `layers` for `<known>@<layers>`.

    Raises ModelError, which lists the known names, for another name, and for layers that it does not have.
    """
    known, cut, layers = name.partition("@")
    if known not in _CONFIGS:
        raise ModelError(f"unknown model config:{name}; known are {', '.join(_CONFIGS)}")
    config = _CONFIGS[known]()
    if cut:
        most = config.num_hidden_layers
        if not layers.isdecimal() or not 1 <= int(layers) <= most:
            raise ModelError(f"config:{name}: {known} has 1 to {most} layers, not {layers!r}")
        config.num_hidden_layers = int(layers)
        if getattr(config, "layer_types", None):
            config.layer_types = config.layer_types[: int(layers)]
    return config
