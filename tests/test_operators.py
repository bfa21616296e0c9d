"""Every operator that a graph can hold has every column of its record, or says why not, and what the record
names is there.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import torch
from torch._ops import OpOverload

from lowpeak_artifact.kind import Kind
from lowpeak_artifact.ops.aten.forward import GONE
from lowpeak_artifact.ops.costs import all_bytes
from lowpeak_artifact.ops.record import (
    COLUMNS,
    LATER,
    OPERATORS,
    OUT_VARIANT,
    UNSTATED,
    Nothing,
    Record,
    Unfit,
    View,
    attach,
    describe,
    none,
)
from lowpeak_compiler import pipeline  # noqa: F401  attaches lowerings, replacements and indices
from lowpeak_compiler.budget.targets import TARGETS
from lowpeak_compiler.passes import normalize
from lowpeak_compiler.passes.rules import elementwise, layout, padding
from lowpeak_compiler.passes.tiling.rules import RULES, rule_of
from lowpeak_export.executorch import kernels
from lowpeak_export.onnx import operators as onnx  # noqa: F401  attaches the mappings

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
STATED = {
    "view": 3, "in_place": 37, "accumulates": 4, "flops": 13, "moved_bytes": 176, "workspace": 2,
    "category": 176, "io": 3, "rows_at_a_time": 3, "tile": 64, "lowering": 5, "kernel": 21,
    "executorch": 105, "onnx": 92, "inexact": 19, "replacement": 19, "indexes": 21, "restates": 22,
}  # fmt: skip
"""How many operators have a column. A row is made of another one, so a column that falls out of it is the
other's unless it is counted."""
COUNTS = ("flops", "moved_bytes", "workspace")
RUNTIMES = {"executorch", "onnxruntime"}


def ours() -> set[object]:
    """Every operator that is registered as lowpeak's."""
    names = [n.removeprefix("lowpeak::") for n in torch._C._dispatch_get_all_op_names() if "lowpeak::" in n]
    return {getattr(torch.ops.lowpeak, name).default for name in names}


def cells(column: str) -> list[tuple[OpOverload, Any]]:
    """Operators that have the column, with its value."""
    values = [(operator, getattr(record, column)) for operator, record in OPERATORS.items()]
    return [(operator, value) for operator, value in values if not isinstance(value, Nothing)]


def arguments(operator: OpOverload) -> set[str]:
    return {argument.name for argument in operator._schema.arguments}


def test_every_operator_that_a_pass_or_a_target_speaks_of_is_in_the_table() -> None:
    tables: list[Any] = [normalize.NO_OPS, elementwise.RULES, layout.RULES, layout.PIECES, padding.RULES]
    named = {operator for table in tables for operator in table if isinstance(operator, OpOverload)}
    assert len(ours()) > 20 and len(named) > 40
    assert {str(operator) for operator in (ours() | named) - OPERATORS.keys()} == set()
    spoken = [operator for operator in OPERATORS if operator.namespace == "lowpeak"]
    assert set(spoken) == ours()


@pytest.mark.parametrize("column", COLUMNS)
def test_every_operator_has_the_column_or_a_reason(column: str) -> None:
    for operator, record in OPERATORS.items():
        value = getattr(record, column)
        assert value is not None and value is not UNSTATED and value is not LATER, operator
        if isinstance(value, Nothing):
            assert len(value.why.split()) >= 3, f"{operator}: {value.why}"
    assert len(cells(column)) > 1


def test_no_column_fell_out_of_a_row() -> None:
    assert {column: len(cells(column)) for column in COLUMNS} == STATED
    weights = [operator for operator, category in cells("category") if category is not Kind.ACTIVATION]
    assert weights == [lowpeak.dequantize.default]
    own = [operator for operator, count in cells("moved_bytes") if count is not all_bytes]
    assert own == [lowpeak.write_rows.default]


@pytest.mark.parametrize("column", COLUMNS)
def test_no_operator_can_leave_a_column_out(column: str) -> None:
    whole = OPERATORS[aten.add.Tensor]
    with pytest.raises(AssertionError, match=f"the record of aten.cumsum.default lacks {column}"):
        describe(dataclasses.replace(whole, **{column: UNSTATED}), aten.cumsum.default)
    given = {name: getattr(whole, name) for name in COLUMNS if name != column}
    with pytest.raises(TypeError, match=column):
        Record(**given)


def test_no_operator_has_two_records_or_two_values() -> None:
    with pytest.raises(AssertionError, match=r"aten\.add\.Tensor has two records"):
        describe(OPERATORS[aten.add.Tensor], aten.add.Tensor)
    with pytest.raises(AssertionError, match=r"aten\.add\.Tensor has onnx already"):
        attach("onnx", aten.add.Tensor)(print)
    with pytest.raises(AssertionError, match=r"aten\.cat\.default has lowering already: none\('core ATen"):
        attach("lowering", aten.cat.default)(print)
    with pytest.raises(AssertionError, match="needs a reason"):
        none("")


def test_what_a_record_says_of_arguments_fits_the_schema() -> None:
    for operator, accumulates in cells("accumulates"):
        assert OPERATORS[operator].in_place, operator
        assert set(accumulates.values()) <= arguments(operator), operator
        assert all(output < len(operator._schema.returns) for output in accumulates), operator
    for operator, tile in cells("tile"):
        name, *operands = tile.split()
        assert name in RULES and set(operands) <= arguments(operator), operator
        assert callable(rule_of(operator))
    assert {tile.split()[0] for _, tile in cells("tile")} == set(RULES)
    assert all(isinstance(view, View) and view.runtimes for _, view in cells("view"))
    assert all(rows > 0 for _, rows in cells("rows_at_a_time"))
    assert {io for _, io in cells("io")} == {"write", "read", "wait"}
    for column in COUNTS:
        assert all(callable(count) for _, count in cells(column))


def test_runtimes_are_those_of_the_targets() -> None:
    for column in ("in_place", "inexact"):
        assert {runtime for _, runtimes in cells(column) for runtime in runtimes} == RUNTIMES
    assert {name for name, _ in TARGETS} >= RUNTIMES


def test_what_is_inexact_has_a_replacement() -> None:
    assert {operator for operator, _ in cells("inexact")} == {
        operator for operator, _ in cells("replacement")
    }


def test_every_operator_of_ours_is_run_by_a_kernel_or_lowered() -> None:
    assert [str(op) for op in ours() if not OPERATORS[op].kernel and not OPERATORS[op].lowering] == []
    for operator, kernel in cells("kernel"):
        assert kernel == f"{operator._schema.name}.out"


def test_names_of_stock_kernels_are_those_that_the_runtime_has() -> None:
    stock = kernels.stock_kernels()
    for operator, form in cells("executorch"):
        if callable(form):
            continue
        schema = kernels.out_variant(operator)._schema
        name = f"{schema.name}.{schema.overload_name}"
        assert name in stock and form in (OUT_VARIANT, name), operator
    for operator, record in OPERATORS.items():
        if isinstance(record.executorch, Nothing) and record.executorch is not GONE:
            try:
                schema = kernels.out_variant(operator)._schema
            except LookupError:
                there = False
            else:
                there = f"{schema.name}.{schema.overload_name}" in stock
            assert there == isinstance(record.executorch, Unfit), operator
    forms = [name for name in kernels.QUANTIZED_KERNELS.values()]
    assert all(any(re.fullmatch(rf"{form}\.dtype_out", name) for name in stock) for form in forms)
