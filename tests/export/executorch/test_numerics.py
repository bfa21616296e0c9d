"""Every stock kernel that a program can call, run by ExecuTorch on hard operands, against float64.

The list is the runtime's: an operator that it has a kernel for needs a case, or an entry that refuses it.
"""

from __future__ import annotations

import pytest
import torch

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_artifact.ops.record import OPERATORS as RECORDS
from lowpeak_artifact.ops.record import Unfit
from lowpeak_compiler.budget.targets import EXECUTORCH
from lowpeak_export.executorch.kernels import check_operators, out_variant, stock_kernels
from tests.evaluate import GraphBuilder
from tests.export.executorch.run import graph_of, run
from tests.export.numerics.case import case, floats
from tests.export.numerics.cases import CASES

aten = torch.ops.aten
STOCK_FORMS = [operator for operator, record in RECORDS.items() if callable(record.executorch)]
UNFIT = [operator for operator, record in RECORDS.items() if isinstance(record.executorch, Unfit)]
WITHOUT_CASES = {
    aten.empty.memory_format: "it has no values",
    aten.nonzero.default: "its shape depends on values, which no graph holds",
    aten.masked_select.default: "its shape depends on values, which no graph holds",
}


def operators() -> list[object]:
    """All that a graph can hold and kernels.py has a stock kernel for."""
    result: list[object] = [*STOCK_FORMS]
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, full = name.partition("::")
        if namespace != "aten":
            continue
        packet, _, overload = full.partition(".")
        operator = getattr(getattr(aten, packet), overload or "default", None)
        if operator is None or operator._schema.is_mutable:
            continue
        try:
            kernel = out_variant(operator)._schema
        except LookupError:
            continue
        if f"{kernel.name}.{kernel.overload_name}".rstrip(".") in stock_kernels():
            result.append(operator)
    return sorted(result, key=str)


OPERATORS = sorted({*operators(), *EXECUTORCH.inexact}, key=str)


def test_every_operator_has_a_case_or_is_refused() -> None:
    assert len(OPERATORS) > 190
    covered = {*CASES, *UNFIT, *WITHOUT_CASES}
    assert [str(operator) for operator in OPERATORS if operator not in covered] == []
    assert set(UNFIT) <= set(OPERATORS) and not set(UNFIT) & set(CASES)


@pytest.mark.parametrize("operator", [each for each in OPERATORS if each in CASES], ids=str)
def test_the_runtime_gives_what_float64_does(operator: object) -> None:
    cases = CASES[operator]
    for each, found in zip(cases, run(cases, EXECUTORCH), strict=True):
        each.check(found)


def test_an_unfit_operator_is_refused_with_its_reason() -> None:
    graph, _, _ = graph_of([case(aten.native_dropout.default, floats(3), 0.5, True)])
    with pytest.raises(UnsupportedOperator, match=r"native_dropout.*gives random numbers"):
        check_operators(graph.operations(), frozenset())


@pytest.mark.parametrize(
    "call",
    [
        lambda build, x: build.call(aten.round.decimals, x, decimals=2),
        lambda build, x: build.call(aten.scatter.value_reduce, x, 0, build.ids, 3, reduce="add"),
    ],
    ids=["decimals", "reduce"],
)
def test_no_argument_is_dropped(call: object) -> None:
    """The overload without the argument has a kernel, which computes something else."""
    build = GraphBuilder()
    x = build.input("x", 3)
    build.ids = build.input("ids", 3, dtype=torch.int64)  # type: ignore[attr-defined]
    graph = build.finish(call(build, x))  # type: ignore[operator]
    with pytest.raises(UnsupportedOperator, match="no stock kernel"):
        check_operators(graph.operations(), frozenset())
