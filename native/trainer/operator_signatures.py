"""Writes operator_signatures.inc: the arguments of every kernel that a program of lowpeak may call.

Run it in the root of the checkout, after a new ExecuTorch or a change of lowpeak's operators:
`python native/trainer/operator_signatures.py`.

A letter an argument, see operator_signatures.h; `>` is a tensor that the kernel writes, `w` one that it
changes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch

import lowpeak_artifact.ops  # noqa: F401  registers them
from lowpeak_export.executorch.kernels import stock_kernels

FILE = Path(__file__).with_suffix(".inc")
OWN = Path(__file__).parents[1] / "executorch"
LETTERS = {
    "Tensor": "T",
    "Optional[Tensor]": "t",
    "int": "i",
    "Optional[int]": "I",
    "number": "n",
    "Optional[number]": "N",
    "float": "f",
    "Optional[float]": "F",
    "bool": "b",
    "Optional[bool]": "B",
    "List[int]": "l",
    "Optional[List[int]]": "L",
    "Optional[List[float]]": "D",
    "List[bool]": "v",
    "List[Tensor]": "a",
    "List[Optional[Tensor]]": "o",
    "str": "s",
    "Optional[str]": "S",
}
"""By the schema's type."""
PROPERTIES = {"layout", "device", "pin_memory", "memory_format"}
"""Arguments that the tensor which is written to has already: none is given."""


def letter(argument: Any) -> str:
    """KeyError for a type that no program holds."""
    if argument.is_out:
        return {"Tensor": ">"}[str(argument.type)]
    if argument.alias_info is not None and argument.alias_info.is_write:
        return {"Tensor": "w"}[str(argument.type)]
    if argument.name in PROPERTIES:
        return "z"
    if argument.name == "dtype":
        return {"int": "y", "Optional[int]": "Y"}[str(argument.type)]
    return LETTERS[str(argument.type)]


def stock_signature(name: str) -> str | None:
    """None for a kernel that does not write its results into tensors that it is given: none calls it."""
    namespace, _, rest = name.partition("::")
    operator, _, overload = rest.partition(".")
    try:
        schema = getattr(getattr(getattr(torch.ops, namespace), operator), overload or "default")._schema
        letters = "".join(letter(argument) for argument in schema.arguments)
    except (AttributeError, KeyError):
        return None
    return letters if re.fullmatch("[^>w]*>+", letters) else None


def own_signature(name: str) -> str:
    """Of an operator with a kernel in native/executorch."""
    packet = getattr(torch.ops.lowpeak, name.removeprefix("lowpeak::").removesuffix(".out"), None)
    if packet is None:
        return "*"  # read_ahead and give_back: any tensors, none written
    schema = packet.default._schema
    return "".join(letter(argument) for argument in schema.arguments) + ">" * len(schema.returns)


def table() -> str:
    declared = "".join(file.read_text() for file in OWN.glob("*.cpp"))
    names = re.findall(r'Operator \w+\(\s*"(lowpeak::[a-z_.]+)"', declared)
    own = {name: own_signature(name) for name in names}
    stock = {name: found for name in stock_kernels() if (found := stock_signature(name))}
    lines = [f'{{"{name}", "{letters}"}},\n' for name, letters in sorted({**stock, **own}.items())]
    return "// Kernels and their arguments, by operator_signatures.py.\n" + "".join(lines)


if __name__ == "__main__":
    FILE.write_text(table())
