"""One record for each operator that a graph can hold: all that the compiler and the emitters know about it.

A record stands beside its operator's definition, ATen's in ops/aten/, and a list such as "what may run in
place" is a query over OPERATORS. As an operator of MLIR has interfaces, so each has every column here, or
says `none(why)`: a new operator cannot forget one. What is code of a later layer (how a target without a
kernel writes it, its ONNX nodes) is LATER here and attached to the record there, as MLIR's external models
and TVM's operator attributes are: imports still run one way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal, Protocol, TypeVar

from torch import Tensor
from torch._ops import OpOverload

from lowpeak_artifact.kind import Kind


class Nothing:
    """An operator has nothing in a column; `why` says so to the reader. False as a condition."""

    def __init__(self, why: str) -> None:
        assert why, "a column without a value needs a reason"
        self.why = why

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return f"none({self.why!r})"


class Unfit(Nothing):
    """A runtime has a kernel for it, which must not be run."""


def none(why: str) -> Nothing:
    return Nothing(why)


def unfit(why: str) -> Unfit:
    return Unfit(why)


class Call(Protocol):
    """One call of an operator; tensors of it have shapes and types, and no memory."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """All that its operands are."""

    @property
    def results(self) -> tuple[Tensor, ...]: ...

    def __getitem__(self, name: str) -> Any:
        """The argument of that name in the schema: a tensor, or a number as it stands."""


Count = Callable[[Call], int]
Runtime = Literal["executorch", "onnxruntime"]
LATER: Final[Any] = "attached by a later layer"
UNSTATED: Final[Any] = "not stated"
"""In a row that others are made of: each of them states the column for itself."""
OUT_VARIANT: Final = "the variant of its own schema that writes into given tensors"


@dataclass(frozen=True)
class View:
    """`offset(call)`: bytes from the start of operand 0 at which the result lies; None if its elements are no
    neighbours there. `runtimes`: which have it as another name for these bytes; the others copy.
    """

    offset: Callable[[Call], int | None]
    runtimes: frozenset[Runtime]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A row of the table. Every field is a column."""

    view: View | Nothing
    in_place: frozenset[Runtime] | Nothing
    """Runtimes where an output may be the memory of an operand with its shape and type: element i depends on
    element i only, or the kernel reads a row before it writes it. Of several outputs each may be that of
    another operand."""
    accumulates: Mapping[int, str] | Nothing
    """Output -> the one operand whose memory it may be, of those that `in_place` allows: what it adds to."""
    flops: Count | Nothing
    """Floating-point operations of matrix products, 2 a multiply-add."""
    moved_bytes: Count
    """Bytes read and written."""
    workspace: Count | Nothing
    """Bytes that our kernel holds beside operands and results, if they grow with these."""
    category: Kind
    """Why its results are in memory."""
    io: Literal["write", "read", "wait"] | Nothing
    """What it does with the offload file."""
    rows_at_a_time: int | Nothing
    """Rows of a mapped table that our kernel holds before it gives their pages back."""
    tile: str | Nothing
    """The rule in passes/tiling/rules.py by which it is done for a part of the tokens at a time, and the
    numbers that the rule takes."""
    lowering: Any | Nothing
    """The pass that writes it as other operators, for a target without a kernel for it."""
    kernel: str | Nothing
    """The name under which native/executorch/ registers our kernel."""
    executorch: Any | Nothing
    """What a stock ExecuTorch runs: OUT_VARIANT, another kernel by its name, or a function of the node that
    gives the kernel's name and arguments."""
    onnx: Any | Nothing
    """The function that builds its ONNX nodes (lowpeak_export/onnx/)."""
    inexact: frozenset[Runtime] | Nothing
    """Runtimes whose stock kernels give other values than torch, beyond float32 rounding."""
    replacement: Any | Nothing
    """The rules that write it as operators which are exact there (passes/lower/inexact/)."""
    indexes: Any | Nothing
    """The function that says which operands index rows, and how many there are (ir/id_ranges.py)."""
    restates: Literal[True] | Nothing
    """Its elements are those of its operand, or a number that counts for nothing."""


COLUMNS: Final = tuple(field.name for field in fields(Record))
OPERATORS: Final[dict[object, Record]] = {}
"""The table. It is full: the package imports every module with records before this name can be imported."""

Value = TypeVar("Value")


def describe(record: Record, *operators: OpOverload) -> None:
    """Enters the record of these operators."""
    missing = [name for name in COLUMNS if getattr(record, name) is UNSTATED]
    assert not missing, f"the record of {operators[0]} lacks {', '.join(missing)}"
    for operator in operators:
        assert operator not in OPERATORS, f"{operator} has two records"
        OPERATORS[operator] = record


def attach(column: str, *operators: OpOverload) -> Callable[[Value], Value]:
    """A decorator: what it decorates is the value of the column that these operators' records leave to
    LATER."""

    def enter(value: Value) -> Value:
        for operator in operators:
            stated = getattr(OPERATORS[operator], column)
            assert stated is LATER, f"{operator} has {column} already: {stated!r}"
            changed: dict[str, Any] = {column: value}
            OPERATORS[operator] = replace(OPERATORS[operator], **changed)
        return value

    return enter


def attached(column: str) -> dict[object, Any]:
    """Operator -> what a later layer has attached to it, once the modules that do so are imported."""
    values = {operator: getattr(record, column) for operator, record in OPERATORS.items()}
    return {operator: value for operator, value in values.items() if value and value is not LATER}
