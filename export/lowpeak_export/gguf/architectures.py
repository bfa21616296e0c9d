"""How llama.cpp names a model, and what its converter does to the model's weights.

Sources: conversion/*.py of ggml-org/llama.cpp. Listed are models of which it takes every linear layer as it
is, or only moves rows of q and k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig

from lowpeak_artifact.errors import LowpeakError, ModelError, summary
from lowpeak_compiler.frontend.model.config_file import require_sound
from lowpeak_export.model_config import own_config


@dataclass(frozen=True)
class Architecture:
    name: str
    """llama.cpp's."""
    interleaves: bool = False
    """Whether rows of q and k are moved: the two halves of each head's rotary pairs are interleaved."""


ARCHITECTURES = {
    "llama": Architecture("llama", interleaves=True),
    "mistral": Architecture("llama", interleaves=True),
    "granite": Architecture("granite", interleaves=True),
    "smollm3": Architecture("smollm3", interleaves=True),
    "qwen2": Architecture("qwen2"),
    "qwen3": Architecture("qwen3"),
    "gemma": Architecture("gemma"),
    "gemma3_text": Architecture("gemma3"),
    "phi3": Architecture("phi3"),
    "olmo2": Architecture("olmo2"),
}
"""By transformers' `model_type`."""


@dataclass(frozen=True)
class Base:
    """What must be known of the model that the adapter was trained for."""

    architecture: Architecture
    layers: int
    heads: int
    """Of the queries."""
    key_heads: int
    vocabulary: int
    """Rows of the output matrix."""
    tied: bool
    """Whether the output matrix is the embedding: llama.cpp then has no tensor of its own for it."""

    @staticmethod
    def of(config: Mapping[str, Any]) -> Base:
        """`config`: as `PretrainedConfig.to_dict` has it. Raises ModelError for one that is not listed."""
        kind = config.get("model_type", "none")
        if not isinstance(kind, str) or kind not in ARCHITECTURES:
            raise ModelError(
                f"a model of type {kind} cannot be written as a GGUF LoRA here; it can for "
                f"{', '.join(sorted(ARCHITECTURES))}. Others: merge the adapter with PEFT's "
                "merge_and_unload, and convert the model by llama.cpp's convert_hf_to_gguf.py"
            )
        require_sound(config, "the base's config")
        try:
            whole = AutoConfig.for_model(**own_config(config))
        except LowpeakError:
            raise
        # Config classes compute with what they are given, of any type and value.
        except Exception as error:
            raise ModelError(f"the base's config is none of a {kind}: {summary(error)[:400]}") from error
        return Base(
            ARCHITECTURES[kind],
            whole.num_hidden_layers,
            whole.num_attention_heads,
            whole.num_key_value_heads or whole.num_attention_heads,
            whole.vocab_size,
            whole.tie_word_embeddings,
        )
