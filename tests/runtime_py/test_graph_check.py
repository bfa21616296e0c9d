"""Operations that would take more than the graph says are refused before one of them runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.graph_file import from_json
from lowpeak_artifact.scheduled import ScheduledGraph
from lowpeak_export.graph_records import to_json
from lowpeak_runtime.simulate.graph_check import check_operations
from tests.tiny import planned_step, tiny_llama


@pytest.fixture(scope="module")
def text() -> str:
    return to_json(planned_step(tiny_llama(num_hidden_layers=1)).step)


def _changed(text: str, change: Callable[[dict[str, Any]], object]) -> ScheduledGraph:
    records = json.loads(text)
    change(records)
    return from_json(json.dumps(records))


def _placed(records: dict[str, Any]) -> dict[str, Any]:
    """The first operation with a place in the arena; what it is made into reads no operand."""
    found: dict[str, Any] = next(o for o in records["operations"] if o["tensors"][0][2] is not None)
    return found


def _viewed(records: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(o for o in records["operations"] if o["view"])
    return found


def test_a_graph_of_the_compiler_passes(text: str) -> None:
    check_operations(from_json(text))


@pytest.mark.parametrize(
    ("fault", "change"),
    [
        (
            r"aten\.full\.default at .* gives \[\(\(1000000000000,\)",
            lambda r: _placed(r).update(operator="aten.full.default", args=[[10**12], 1.0], kwargs={}),
        ),
        (
            r"aten\.zeros\.default at .* gives",
            lambda r: _placed(r).update(operator="aten.zeros.default", args=[[1 << 20, 1 << 20]], kwargs={}),
        ),
        (
            r"aten\.repeat\.default at .* gives",
            lambda r: _placed(r).update(
                operator="aten.repeat.default",
                args=[{"node": r["inputs"][0]["node"]}, [1 << 16, 1 << 16, 1]],
                kwargs={},
            ),
        ),
        (
            r"cannot be run",
            lambda r: _placed(r).update(operator="aten.full.default", args=[[-1], 1.0], kwargs={}),
        ),
        (
            r"is \d+ bytes; with an arena of \d+ bytes",
            lambda r: _viewed(r).update(tensors=[["float32", [1 << 40], None, None]]),
        ),
        (
            r"cannot be run",
            lambda r: _placed(r).update(
                operator="aten.nonzero.default", args=[{"node": r["inputs"][0]["node"]}], kwargs={}
            ),
        ),
        (
            r"has no place in a file: 281474976710656",
            lambda r: _placed(r).update(
                operator="lowpeak.store.default", args=[{"node": r["inputs"][0]["node"]}, 1 << 48], kwargs={}
            ),
        ),
    ],
)  # fmt: skip
def test_what_takes_more_than_it_says_is_refused(
    fault: str, change: Callable[[dict[str, Any]], object], text: str
) -> None:
    graph = _changed(text, change)
    with pytest.raises(ArtifactError, match=fault):
        check_operations(graph)


@pytest.mark.parametrize("operator", ["aten.fbgemm_pack_gemm_matrix_fp16.default", "aten.to_sparse.default"])
def test_operators_that_take_bytes_for_structures_are_refused(operator: str, text: str) -> None:
    with pytest.raises(ArtifactError, match=f"the graph calls {operator}, which a graph may not"):
        _changed(text, lambda r: _placed(r).update(operator=operator))
