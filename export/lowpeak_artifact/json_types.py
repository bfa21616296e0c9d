"""The types of JSON by their names there, for messages: one who wrote `null` is not told of NoneType."""

from __future__ import annotations

import typing
from typing import Any

NAMES = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    tuple: "a list",
    dict: "an object",
}


def json_type(value: Any) -> str:
    """What the value is in JSON; what is not in JSON has the name of its class."""
    return NAMES.get(type(value)) or f"a {type(value).__name__}"


def json_kind(annotation: Any) -> str:
    """What a value of the annotation is in JSON."""
    return NAMES.get(typing.get_origin(annotation) or annotation, str(annotation))
