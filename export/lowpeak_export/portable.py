"""What a manifest says of a model, without the place where the model lay: an artifact of the same model is
the same wherever it is made, and tells nothing of the machine.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path, PureWindowsPath
from typing import Any

from lowpeak_compiler.frontend.model.origin import Origin

NAMES = ("_name_or_path", "name_or_path", "base_model_name_or_path")
"""Keys of configs under which a path stands, or a name of the hub."""
FLOAT = "__float__"
"""JSON has no infinity: it is told as transformers' config.json tells it."""
_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def portable(value: Any, key: str = "") -> Any:
    """A config as JSON holds it, with base names for paths."""
    if isinstance(value, dict):
        return {name: portable(item, name) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [portable(item, key) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {FLOAT: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, str) and (_is_path(value) or (key in NAMES and os.path.exists(value))):
        return portable_name(value)
    return value


def with_floats(value: Any) -> Any:
    """A config out of a manifest, with the numbers that JSON cannot hold."""
    if isinstance(value, dict):
        if value.keys() == {FLOAT} and value[FLOAT] in _FLOATS:
            return _FLOATS[value[FLOAT]]
        return {name: with_floats(item) for name, item in value.items()}
    return [with_floats(item) for item in value] if isinstance(value, list) else value


def portable_name(name: str) -> str:
    """The last part of a path; a name of the hub as it is."""
    if not _is_path(name) and not os.path.exists(name):
        return name
    return PureWindowsPath(Path(name).resolve().name).name or "model"


def without_place(words: str, origin: Origin | None) -> str:
    """What is told of a model's files, with base names for their paths."""
    for path in () if origin is None else (origin.path, origin.path.parent):
        for spelling in {str(path.resolve()), str(path.absolute()), str(path)} - {"."}:
            words = words.replace(spelling, path.resolve().name)
    return words


def _is_path(text: str) -> bool:
    return re.match(r"[/~].|\.\.?/|[A-Za-z]:[\\/]|\\\\", text) is not None
