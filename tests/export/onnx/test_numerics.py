"""Every operator with a mapping to ONNX, run by ONNX Runtime on hard operands, against float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_compiler.budget.targets import ONNXRUNTIME
from lowpeak_compiler.budget.variants import UNBOUNDED, lowering
from lowpeak_export.onnx.operators import MAPPINGS
from tests.export.executorch.run import graph_of
from tests.export.numerics.case import Case, case, integers
from tests.export.numerics.cases import CASES
from tests.export.onnx.run import run

aten = torch.ops.aten
ELSEWHERE = {torch.ops.lowpeak.dequantize.default, torch.ops.lowpeak.matmul.default}
"""test_operators.py has their cases, in the packing that artifacts for ONNX Runtime have; products become
matmul here.
"""
OPERATORS = sorted({*MAPPINGS, *ONNXRUNTIME.inexact} - ELSEWHERE, key=str)


def without_nan(each: Case) -> bool:
    """The runtime's erf of NaN is 1; what it is multiplied by is NaN as well."""
    return not any(isinstance(value, Tensor) and bool(value.isnan().any()) for value in each.args)


def of_normal_numbers(each: Case) -> bool:
    """The runtime may take numbers below the normal ones for zero or for the smallest normal one. Its Python
    takes no bfloat16.
    """
    tiny = torch.finfo(torch.float32).tiny
    values = [value for value in each.args if isinstance(value, Tensor) and value.is_floating_point()]
    half = any(value.dtype == torch.bfloat16 for value in values)
    return not half and not any(bool(((value != 0) & (value.abs() < tiny)).any()) for value in values)


def of_unsigned(each: Case) -> bool:
    return each.args[0].dtype == torch.uint8


def of_whole_rows(each: Case) -> bool:
    indices = each.args[1]
    return len(indices) == 1 and indices[0].dtype == torch.int64


REFUSED: dict[object, Callable[[Case], bool]] = {
    aten.bitwise_right_shift.Tensor_Scalar: of_unsigned,
    aten.index_put.default: of_whole_rows,
}
"""Operator -> which cases are mapped; the others are refused."""


def chosen(operator: object) -> list[Case]:
    mapped = [each for each in CASES[operator] if REFUSED.get(operator, lambda _: True)(each)]
    cases = [each for each in mapped if of_normal_numbers(each)]
    return [each for each in cases if without_nan(each)] if operator is aten.erf.default else cases


def test_every_operator_has_a_case() -> None:
    assert [str(operator) for operator in OPERATORS if not CASES.get(operator)] == []


@pytest.mark.parametrize("operator", OPERATORS, ids=str)
def test_the_runtime_gives_what_float64_does(operator: object, tmp_path: Path) -> None:
    cases = chosen(operator)
    assert cases
    graph, _, _ = graph_of(cases)
    found = run(cases, tmp_path, lowering(graph, ONNXRUNTIME, UNBOUNDED))
    for each, results in zip(cases, found, strict=True):
        each.check(results)


@pytest.mark.parametrize("operator", REFUSED, ids=str)
def test_what_has_no_mapping_is_refused(operator: object, tmp_path: Path) -> None:
    for each in CASES[operator]:
        if not REFUSED[operator](each):
            with pytest.raises(UnsupportedOperator, match="no mapping to ONNX"):
                run([each], tmp_path)


def test_products_of_integers_are_not_fused(tmp_path: Path) -> None:
    """The fused product takes floats only."""
    each = case(aten.mm.default, integers(-9, 9, 3, 4), integers(-9, 9, 4, 5))
    graph, _, _ = graph_of([each])
    each.check(run([each], tmp_path, lowering(graph, ONNXRUNTIME, UNBOUNDED))[0])
