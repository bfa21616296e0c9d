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

from compiler.errors import ModelError
from compiler.model.json_file import read_object, shown

MOST_CONFIG_BYTES = 4_000_000
MOST_NUMBER = 1 << 24
"""Of a whole number: over the longest context of today's models, 10 million tokens."""
MOST_LAYERS = 10_000
"""And experts, and rounds: lists of so many are harmless; modules are held against the tensors."""

_INFINITE = "time_step_limit"
"""Whose end is open in Mamba models."""
_FLOAT = "__float__"
"""In transformers' files the only key of a number that JSON has not."""


def _names(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|_)(?:{pattern})$")


_COUNTS = _names("layers?|blocks?|depth|experts?|groups?|cycles|loops|steps")
_EPSILONS = _names("eps|epsilon")
_POSITIVE = _names(
    "theta|base|base_freq|factors?|multiplier|scaling|scalar|logit_scale|soft_?cap|soft_?capping|mscale"
)
"""That divide, or take part in a power or a product that nothing survives if they are 0."""
_UNBOUNDED = _names("theta|base|base_freq|params|parameters|flops|seed")
_SIZES = _names("size|dim|heads|layers?|experts?|position_embeddings|positions|n_embd|n_head|d_model")
_NEVER_ZERO = {
    "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "max_position_embeddings",
    "n_embd", "n_layer", "n_head", "n_positions", "d_model", "n_heads", "n_layers", "num_layers", "num_heads",
}  # fmt: skip
_WHOLE = re.compile(r"(?:num|n|max)_\w+")
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
        problem = _problem(name, value, _INFINITE in key)
        if problem:
            raise ModelError(f"{where}: {key} is {shown(value)}: {problem}")


def _entries(value: Any, key: str, name: str) -> Iterator[tuple[str, str, Any]]:
    """Path, last name and value of all that is no container; an item of a list has the list's name."""
    if isinstance(value, dict) and list(value) == [_FLOAT] and isinstance(value[_FLOAT], str):
        yield key, name, float(value[_FLOAT]) if value[_FLOAT].lstrip("+-").isalpha() else value[_FLOAT]
    elif isinstance(value, dict):
        for each, item in value.items():
            yield from _entries(item, f"{key}.{each}" if key else each, each)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _entries(item, f"{key}[{index}]", name)
    else:
        yield key, name, value


def _problem(name: str, value: Any, may_be_infinite: bool) -> str | None:
    if isinstance(value, bool):
        return "it must be a number" if name in _NEVER_ZERO or _WHOLE.fullmatch(name) else None
    if not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value) and not (may_be_infinite and value == math.inf):
        return "it must be finite"
    if isinstance(value, int) and abs(value) > MOST_NUMBER and not _UNBOUNDED.search(name):
        return f"it may be at most {MOST_NUMBER}"
    if _EPSILONS.search(name) and not 0 < value < 1:
        return "it must be over 0 and below 1"
    if _POSITIVE.search(name) and not value > 0:
        return "it must be over 0"
    if _SIZES.search(name) and value < 0:
        return "it must not be negative"
    if name in _NEVER_ZERO and value == 0:
        return "it must be at least 1"
    if _COUNTS.search(name) and value > MOST_LAYERS:
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
    if kinds is not None and not (isinstance(kinds, list) and all(isinstance(each, str) for each in kinds)):
        raise ModelError(f"{path}: architectures is {shown(kinds)}: it must be a list of names")


def _require_no_kernels(config: dict[str, Any], path: Path) -> None:
    """ModelError for a config that names kernels of a hub repository, which are code."""
    for key, name, value in _entries(config, "", ""):
        if _IMPLEMENTATIONS.fullmatch(name) and isinstance(value, str) and "/" in value:
            raise ModelError(
                f"{path}: {key} is {shown(value)}, code of a hub repository, which is not run unasked: take "
                "the key away, or pass --trust-remote-code (trust_remote_code=True) if you trust it"
            )
