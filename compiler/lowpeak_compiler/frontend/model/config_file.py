"""The config.json of a model's folder, checked before anything is made of it.

Its numbers size lists, loops and modules, and go into every norm and rotary embedding. transformers checks
types; here is what it takes as it comes. Keys are known by their names: a hundred architectures have many
names for one thing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.json_file import read_object, shown

MOST_CONFIG_BYTES = 4_000_000
MOST_NUMBER = 1 << 24
"""Of a whole number: over the longest context of today's models, 10 million tokens."""
MOST_LAYERS = 20_000
"""And experts, and cycles: lists of so many are harmless; modules are held against the tensors."""

_INFINITE = "time_step_limit"
"""Whose end is open in Mamba models."""
_FLOAT = "__float__"
"""In transformers' files the only key of a number that JSON has not."""


def _ending(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:\w*_)?(?:{pattern})")


_COUNTS = _ending("layers?|blocks?|depth|experts?|groups?|cycles|loops|steps")
_EPSILONS = re.compile(r"\w+_(?:eps|epsilon)")
_BASES = _ending("theta|base|base_freq")
"""Of rotary embeddings; 0 is for a layer without in a list of them."""
_POSITIVE = re.compile(r"(?!.*loss)(?:\w*_)?(?:factors?|multiplier|scaling|scalar|logit_scale|mscale)")
"""That divide, or take part in a product that nothing survives if they are 0."""
_UNBOUNDED = _ending("theta|base|base_freq|params|parameters|flops|seed")
_NEVER_ZERO = {
    "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings",
    "n_embd", "n_layer", "n_head", "n_positions", "d_model", "n_heads", "n_layers", "num_layers", "num_heads",
}  # fmt: skip
"""Of the model itself; what else is in its config may be switched off so."""
_WHOLE = re.compile(r"(?:num|n|max)_\w+|head_dim|intermediate_size")
_OWN = re.compile(r"(?:text_config\.)?\w+")
_IMPLEMENTATIONS = re.compile(r"_?(?:attn|experts)_implementation\w*")


def read_config(folder: Path, trust_remote_code: bool) -> dict[str, Any]:
    """The object in config.json. Raises ModelError, with the file and the key, for what no model can have."""
    path = folder / "config.json"
    config = read_object(path, MOST_CONFIG_BYTES)
    require_sound(config, str(path))
    _require_alone(config, path)
    if not trust_remote_code:
        _require_no_kernels(config, path)
    return config


def require_sound(config: Mapping[str, Any], where: str) -> None:
    """`where` begins the message of the ModelError."""
    for key, name, value in _entries(config, "", ""):
        problem = _problem(key, name, value)
        if problem:
            raise ModelError(f"{where}: {key} is {shown(value)}: {problem}")


def _entries(value: Any, key: str, name: str) -> Iterator[tuple[str, str, Any]]:
    """Path, last name and value of all that is no container; an item of a list has the list's name."""
    if isinstance(value, dict) and list(value) == [_FLOAT] and isinstance(value[_FLOAT], str):
        yield key, name, float(value[_FLOAT]) if value[_FLOAT].lstrip("+-").isalpha() else value[_FLOAT]
    elif isinstance(value, dict):
        for each, item in value.items():
            yield from _entries(item, f"{key}.{each}" if key else str(each), str(each))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _entries(item, f"{key}[{index}]", name)
    else:
        yield key, name, value


def _problem(key: str, name: str, value: Any) -> str | None:
    whole = name in _NEVER_ZERO or _WHOLE.fullmatch(name)
    if isinstance(value, bool):
        return "it must be a number" if whole else None
    if isinstance(value, str) and (_EPSILONS.fullmatch(name) or _BASES.fullmatch(name)):
        return "it must be a number"
    if not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value) and not (_INFINITE in key and value == math.inf):
        return "it must be finite"
    if isinstance(value, int) and abs(value) > MOST_NUMBER and not _UNBOUNDED.fullmatch(name):
        return f"it may be at most {MOST_NUMBER}"
    if _EPSILONS.fullmatch(name) and not 0 < value <= 1:
        return "it must be over 0, and at most 1"
    if _BASES.fullmatch(name) and (value < 0 or (value == 0 and not key.endswith("]"))):
        return "it must be over 0"
    if _POSITIVE.fullmatch(name) and not value > 0:
        return "it must be over 0"
    if whole and value < 0 and not name.startswith("max_"):
        return "it must not be negative"
    if name in _NEVER_ZERO and value <= 0 and _OWN.fullmatch(key):
        return "it must be at least 1"
    if _COUNTS.fullmatch(name) and value > MOST_LAYERS:
        return f"it may be at most {MOST_LAYERS}"
    return None


def _require_alone(config: dict[str, Any], path: Path) -> None:
    """ModelError for a config that sends transformers on to other files."""
    if "configuration_files" in config:
        raise ModelError(
            f"{path} keeps the config in other files, for one version of transformers each "
            "(configuration_files): put the right one in its place"
        )
    kinds = config.get("architectures")
    names = isinstance(kinds, list) and kinds and all(isinstance(each, str) for each in kinds)
    if kinds is not None and not names:
        raise ModelError(f"{path}: architectures is {shown(kinds)}: it must be a list of names")
    kind = config.get("model_type")
    if kind is not None and not isinstance(kind, str):
        raise ModelError(f"{path}: model_type is {shown(kind)}: it must be a name")


def _require_no_kernels(config: dict[str, Any], path: Path) -> None:
    """ModelError for a config that names kernels of a hub repository, which are code."""
    for key, name, value in _entries(config, "", ""):
        if _IMPLEMENTATIONS.fullmatch(name) and isinstance(value, str) and "/" in value:
            raise ModelError(
                f"{path}: {key} is {shown(value)}, code of a hub repository, which is not run unasked: take "
                "the key away, or pass --trust-remote-code (trust_remote_code=True) if you trust it"
            )
