"""Parsed JSON -> dataclasses, every field checked against its annotation: type, and range of a number."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.json_types import json_kind, json_type


@dataclass(frozen=True)
class Range:
    """Of a number, as in `Annotated[int, Range(0, 10)]`; both ends are in it."""

    least: float
    most: float


Count = Annotated[int, Range(0, 2**31)]
Bytes = Annotated[int, Range(0, 2**48)]
Seconds = Annotated[float, Range(0, 1e12)]


def typed(kind: Any, value: Any, file: str, where: str) -> Any:
    """`value` as an instance of the annotation `kind`. ArtifactError names the file and the place in it that
    does not fit.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        number = typed(arguments[0], value, file, where)
        least, most = arguments[1].least, arguments[1].most
        if not least <= number <= most:
            raise ArtifactError(f"{file}: {where} is {number}; it must be from {least:g} to {most:g}")
        return number
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        fields = {f.name for f in dataclasses.fields(kind)}
        optional = {f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}
        if not isinstance(value, dict) or not fields - optional <= set(value) <= fields:
            raise ArtifactError(f"{file}: {where} should have the fields {', '.join(sorted(fields))}")
        hints = typing.get_type_hints(kind, include_extras=True)
        return kind(**{name: typed(hints[name], value[name], file, f"{where}.{name}") for name in value})
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return typed(inner, value, file, where)
    if origin is list and isinstance(value, list):
        return [typed(arguments[0], item, file, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: typed(arguments[1], item, file, f"{where}.{key}") for key, item in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    raise ArtifactError(f"{file}: {where} should be {json_kind(kind)}, it is {json_type(value)}")
