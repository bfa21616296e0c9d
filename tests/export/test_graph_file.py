"""graph.json: what is written is what is read, and nothing is read that a graph may not be."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.graph_file import _decode, from_json, from_records
from lowpeak_artifact.scheduled import NodeRef, resolve_operator
from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.planned import place
from lowpeak_compiler.budget.program_view import program_view
from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.ir.graph import Batch, Constant
from lowpeak_export.graph_records import _encode, constants_of, to_json, to_records
from tests.tiny import TinyStep, planned_step, tiny_llama


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return planned_step(tiny_llama(num_hidden_layers=1), rows=9)


@pytest.fixture()
def records(tiny: TinyStep) -> dict[str, Any]:
    return copy.deepcopy(to_records(tiny.step))


def test_every_place_and_argument_comes_back(tiny: TinyStep) -> None:
    read = from_json(to_json(tiny.step))
    nodes = tiny.graph.operations()
    assert [each.node for each in read.operations] == [node.name for node in nodes]
    for operation, node in zip(read.operations, nodes, strict=True):
        assert [place.offset for place in operation.tensors] == [
            tiny.step.offset(node, i) for i in range(len(operation.tensors))
        ]
        assert operation.function == node.target
        assert operation.operands() == [each.name for each in node.all_input_nodes]
        assert operation.view == (node.name in tiny.step.view.views)
    assert read.gradients == tiny.graph.gradients
    assert read.results == tuple(node.name for node in tiny.graph.results)
    assert read.arena_bytes == tiny.step.arena_bytes
    assert {each.kind for each in read.inputs} == {"batch", "adapter", "frozen", "constant"}
    assert math.isclose(
        sum(each.seconds for each in read.operations), sum(op.seconds for op in tiny.step.view.program.ops)
    )


@pytest.mark.parametrize(
    "argument",
    [
        torch.float32,
        torch.bool,
        torch.int64,
        torch.contiguous_format,
        torch.preserve_format,
        torch.strided,
        torch.device("cpu"),
        float("inf"),
        float("-inf"),
        0.1,
        1e-300,
        -3,
        2**63 - 1,
        True,
        None,
        "floor",
        [None, [1, 2.5], []],
    ],
    ids=str,
)
def test_arguments_round_trip(argument: Any) -> None:
    read = _decode(json.loads(json.dumps(_encode(argument), allow_nan=False)))
    assert read == argument and type(read) is type(argument)


def test_nan_and_nodes_round_trip(tiny: TinyStep) -> None:
    assert math.isnan(_decode(_encode(float("nan"))))
    node = tiny.graph.operations()[0]
    assert _decode(_encode([node])) == [NodeRef(node.name)]
    with pytest.raises(ArtifactError, match="complex"):
        _encode(1j)


def test_constants_keep_their_infinities(tiny: TinyStep) -> None:
    stored = constants_of(tiny.step)
    assert any(bool(value.isinf().any()) for value in stored.values() if value.is_floating_point())
    for node, role in tiny.graph.inputs():
        if isinstance(role, Constant):
            assert torch.equal(stored[node.name], role.value)


@pytest.mark.parametrize(
    "name",
    [
        "aten.from_file.default",
        "aten.set_.source_Tensor",
        "aten.add_.Tensor",
        "aten.mm.out",
        "aten.randn.default",
        "aten.mm",
        "aten.mm.nothing",
        "aten.nothing.default",
        "aten.__class__.default",
        "aten.__file__.default",
        "prims.add.default",
        "os.system.default",
        "eval",
        "",
    ],
)
def test_operators_outside_the_whitelist_are_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match="the graph calls"):
        resolve_operator(name)


def _first_placed(records: dict[str, Any]) -> dict[str, Any]:
    return next(each for each in records["operations"] if not each["view"])


def _set_place(records: dict[str, Any], index: int, value: Any) -> None:
    _first_placed(records)["tensors"][0][index] = value


def _make_view_of_nothing(records: dict[str, Any]) -> None:
    _first_placed(records).update(view=True, args=[1])


DAMAGE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "arena of": lambda r: _set_place(r, 2, r["arena_bytes"] - 4),
    "-8 is no size": lambda r: _set_place(r, 2, -8),
    "True is no size": lambda r: _set_place(r, 2, True),
    "not aligned": lambda r: _set_place(r, 2, 2),
    "is no dtype": lambda r: _set_place(r, 0, "float33"),
    "-1 is no size": lambda r: _set_place(r, 1, [-1]),
    "no place in the arena": lambda r: _set_place(r, 2, None),
    "occurs twice": lambda r: r["operations"].append(r["operations"][0]),
    "no node before it": lambda r: r["operations"].reverse(),
    "the graph calls": lambda r: _first_placed(r).update(operator="aten.from_file.default"),
    "gives no tensor": lambda r: _first_placed(r).update(tensors=[]),
    "is no view": _make_view_of_nothing,
    "no graph of this version": lambda r: _first_placed(r).update(args=[{"pickle": "gASV"}]),
    "is of kind": lambda r: r["inputs"][0].update(kind="remote"),
    "results for": lambda r: r["gradients"].pop(),
    "is no scalar": lambda r: r["results"].__setitem__(0, r["results"][1]),
    "KeyError: 'results'": lambda r: r.pop("results"),
    "a result is made by no operation": lambda r: r["results"].__setitem__(1, "nothing"),
    "malformed": lambda r: r.update(operations=3),
    "whether it is a view": lambda r: _first_placed(r).update(view=1),
}


@pytest.mark.parametrize("fault", DAMAGE)
def test_damaged_graphs_are_refused(fault: str, records: dict[str, Any]) -> None:
    from_records(records)
    DAMAGE[fault](records)
    with pytest.raises(ArtifactError, match=fault):
        from_records(records)


@pytest.mark.parametrize("text", ["", "[1", "[" * 100_000, "[]", "null", "3", b"\xff\xfe\xff"])
def test_what_is_no_graph_is_refused(text: str | bytes) -> None:
    with pytest.raises(ArtifactError, match=r"graph\.json"):
        from_json(text)


def test_a_batch_tensor_that_nothing_reads_overlaps_no_other_input() -> None:
    graph = planned_step(tiny_llama(num_hidden_layers=1)).graph
    unused = graph.add_input(Batch("unused"), torch.zeros(3), "unused")
    runtime = target("executorch", "stock")
    step = place(graph, program_view(graph, runtime, device("laptop")), runtime)
    read = from_records(to_records(step))
    places = {each.node: each.tensor for each in read.inputs if each.tensor.offset is not None}
    own = places.pop(unused.name)
    assert own.offset is not None
    for other in places.values():
        assert other.offset is not None
        assert other.offset >= own.offset + own.nbytes or own.offset >= other.offset + other.nbytes
