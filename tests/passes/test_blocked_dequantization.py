from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from expecttest import assert_expected_inline
from torch import Tensor, fx

from lowpeak_artifact.quantized import QuantFormat
from lowpeak_compiler.ir.graph import Batch, Constant, Quantized, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.lower.blocked_dequantization import BlockedDequantization
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.lower_attention import LowerAttention
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder, distance, evaluate, values_of
from tests.models import joint, language_model

aten = torch.ops.aten
dequantize = torch.ops.lowpeak.dequantize.default
dequantize_rows = torch.ops.lowpeak.dequantize_rows.default
ROWS, COLS, GROUP = 10, 12, 4
FORMATS = [QuantFormat(bits, GROUP, zero) for bits in (4, 8) for zero in (False, True)]

Use = Callable[[GraphBuilder, list[object]], fx.Node]


def graph_of(format: QuantFormat, *uses: Use) -> TrainGraph:
    """Results are what the uses give; each is called with the parts of one quantized matrix."""
    build = GraphBuilder()
    data = build.input(
        "data",
        *format.data_shape(ROWS, COLS),
        dtype=format.data_dtype,
        role=Quantized("w", format, "data"),
    )
    shape = format.scale_shape(ROWS, COLS)
    scale = build.input("scale", *shape, dtype=format.scale_dtype, role=Quantized("w", format, "scale"))
    zero_point = (
        build.input("zero", *shape, role=Quantized("w", format, "zero_point")) if format.zero_point else None
    )
    return build.finish(*(use(build, [data, scale, zero_point, format.bits]) for use in uses))


def whole(build: GraphBuilder, parts: list[object]) -> fx.Node:
    return build.call(dequantize, *parts)


def gathered(*shape: int) -> Use:
    """Rows by ids of the batch."""

    def use(build: GraphBuilder, parts: list[object]) -> fx.Node:
        ids = build.input("ids", *shape, dtype=torch.int64, role=Batch("ids"))
        return build.call(dequantize_rows, *parts, ids)

    return use


def chosen(value: Tensor) -> Use:
    """Rows by ids that the compiler made."""

    def use(build: GraphBuilder, parts: list[object]) -> fx.Node:
        ids = build.input("rows", *value.shape, dtype=torch.int64, role=Constant("rows", value))
        return build.call(dequantize_rows, *parts, ids)

    return use


def results(graph: TrainGraph, ids: Tensor | None = None) -> list[Tensor]:
    """On a matrix whose values are off centre, so that zero points are not zero."""
    weight = torch.randn(ROWS, COLS, generator=torch.Generator().manual_seed(0)) + 1
    return evaluate(graph, values_of(graph, {"w": weight}, {} if ids is None else {"ids": ids}))


def restated(graph: TrainGraph) -> list[str]:
    """Runs the pass; the operators that the graph then has."""
    assert BlockedDequantization().run(graph) == 1
    graph.graph.eliminate_dead_code()
    graph.drop_unused_inputs()
    graph.graph.lint()
    for node, role in graph.inputs():
        if isinstance(role, Quantized):
            assert role.format.packing == "low_first"
            assert node.meta["val"].dtype == (
                role.format.data_dtype if role.part == "data" else torch.float32
            )
    return [str(node.target) for node in graph.operations()]


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_parity_of_a_whole_matrix(format):
    graph = graph_of(format, whole)
    (before,) = results(graph)
    used = restated(graph)
    assert used.count("lowpeak.dequantize.default") == 1
    (after,) = results(graph)
    assert distance(after, before) < 1e-6
    if not format.zero_point:
        assert torch.equal(after, before)


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize(("start", "end"), [(0, ROWS), (0, 3), (4, 7), (9, 10)])
def test_parity_of_a_range_of_rows(format, start, end):
    graph = graph_of(format, chosen(torch.arange(start, end)))
    (before,) = results(graph)
    used = restated(graph)
    assert used.count("lowpeak.dequantize.default") == 1
    assert not any("index_select" in name for name in used)
    assert not any(isinstance(role, Constant) for _, role in graph.inputs())
    (after,) = results(graph)
    assert after.shape == (end - start, COLS)
    assert distance(after, before) < 1e-6


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 1, 4), (1,), ()], ids=str)
def test_parity_of_gathered_rows(format, shape):
    graph = graph_of(format, gathered(*shape))
    ids = torch.randint(0, ROWS, shape, generator=torch.Generator().manual_seed(1))
    (before,) = results(graph, ids)
    assert "lowpeak.dequantize.default" not in restated(graph)
    (after,) = results(graph, ids)
    assert after.shape == (*shape, COLS)
    assert torch.equal(after, before)


@pytest.mark.parametrize(
    "rows",
    [torch.tensor([3, 1, 4]), torch.tensor([2, 3, 5]), torch.tensor([3, 2, 1]), torch.arange(6).view(2, 3)],
    ids=str,
)
@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_constant_rows_that_are_no_range_are_gathered(format, rows):
    graph = graph_of(format, chosen(rows))
    (before,) = results(graph)
    assert "aten.index_select.default" in restated(graph)
    (after,) = results(graph)
    assert torch.equal(after, before)


def test_a_range_of_the_batch_is_no_constant():
    """Ids that happen to be neighbours in one batch may be others in the next."""
    graph = graph_of(FORMATS[0], gathered(3))
    assert "aten.index_select.default" in restated(graph)
    assert (
        distance(
            results(graph, torch.tensor([7, 0, 2]))[0], results(graph_of(FORMATS[0], whole))[0][[7, 0, 2]]
        )
        == 0
    )


def test_every_value_of_four_bits_comes_back():
    """All bytes that two nibbles can make, through the arithmetic that takes gathered ones apart."""
    graph = graph_of(FORMATS[0], gathered(ROWS), whole)
    assert BlockedDequantization().run(graph) == 2
    stored = torch.randint(0, 256, (ROWS, COLS // 2), generator=torch.Generator().manual_seed(2)).to(
        torch.uint8
    )
    stored.view(-1)[:16] = torch.arange(0, 256, 17)
    scale = torch.rand(ROWS, COLS // GROUP)
    values = {"data": stored, "scale": scale, "ids": torch.arange(ROWS)}
    rows, matrix = evaluate(graph, [values[node.name] for node, _ in graph.inputs()])
    assert torch.equal(rows, matrix)
    assert len(set((matrix.view(ROWS, -1, GROUP) / scale[..., None]).round().flatten().tolist())) == 16


def graph_with_a_loss(format: QuantFormat, use: Use) -> TrainGraph:
    def total(build: GraphBuilder, parts: list[object]) -> fx.Node:
        rows = use(build, parts)
        weighted = build.call(aten.mul.Tensor, rows, build.input("a", COLS))
        return build.call(aten.sum.default, weighted)

    return graph_of(format, total)


def test_golden_rows():
    graph = graph_with_a_loss(QuantFormat(4, GROUP, True), chosen(torch.arange(2, 5)))
    runner = Runner()
    runner.run(graph, [BlockedDequantization()])
    assert runner.applied == {"BlockedDequantization": 1}
    assert_expected_inline(
        graph.dump(),
        """\
data: uint8[10, 6] = quantized w.data
scale: float32[10, 3] = quantized w.scale
zero: float32[10, 3] = quantized w.zero_point
a: float32[12] = adapter a
slice_tensor: uint8[3, 6] = aten.slice.Tensor(data, 0, 2, 5)
slice_tensor_1: float32[3, 3] = aten.slice.Tensor(scale, 0, 2, 5)
slice_tensor_2: float32[3, 3] = aten.slice.Tensor(zero, 0, 2, 5)
dequantize_default: float32[3, 12] = lowpeak.dequantize.default(slice_tensor, slice_tensor_1, None, 4, low_first)
mul_tensor_1: float32[3, 3] = aten.mul.Tensor(slice_tensor_1, slice_tensor_2)
view_default: float32[3, 3, 1] = aten.view.default(mul_tensor_1, [-1, 3, 1])
view_default_1: float32[3, 3, 4] = aten.view.default(dequantize_default, [-1, 3, 4])
sub_tensor: float32[3, 3, 4] = aten.sub.Tensor(view_default_1, view_default)
view_default_2: float32[3, 12] = aten.view.default(sub_tensor, [3, 12])
mul_tensor: float32[3, 12] = aten.mul.Tensor(view_default_2, a)
sum_default: float32[] = aten.sum.default(mul_tensor)
return sum_default""",
    )


def test_golden_gathered():
    graph = graph_with_a_loss(QuantFormat(4, GROUP, False), gathered(2, 3))
    Runner().run(graph, [BlockedDequantization()])
    assert_expected_inline(
        graph.dump(),
        """\
data: uint8[10, 6] = quantized w.data
scale: float32[10, 3] = quantized w.scale
ids: int64[2, 3] = batch ids
a: float32[12] = adapter a
view_default: int64[6] = aten.view.default(ids, [-1])
index_select_default: uint8[6, 6] = aten.index_select.default(data, 0, view_default)
index_select_default_1: float32[6, 3] = aten.index_select.default(scale, 0, view_default)
bitwise_xor_scalar: uint8[6, 6] = aten.bitwise_xor.Scalar(index_select_default, 136)
bitwise_and_scalar: uint8[6, 6] = aten.bitwise_and.Scalar(bitwise_xor_scalar, 15)
bitwise_right_shift_tensor_scalar: uint8[6, 6] = aten.bitwise_right_shift.Tensor_Scalar(bitwise_xor_scalar, 4)
view_default_1: uint8[6, 6, 1] = aten.view.default(bitwise_and_scalar, [6, 6, 1])
view_default_2: uint8[6, 6, 1] = aten.view.default(bitwise_right_shift_tensor_scalar, [6, 6, 1])
cat_default: uint8[6, 6, 2] = aten.cat.default([view_default_1, view_default_2], 2)
_to_copy_default: float32[6, 6, 2] = aten._to_copy.default(cat_default, dtype=torch.float32)
sub_scalar: float32[6, 6, 2] = aten.sub.Scalar(_to_copy_default, 8)
view_default_3: float32[6, 3, 4] = aten.view.default(sub_scalar, [-1, 3, 4])
view_default_4: float32[6, 3, 1] = aten.view.default(index_select_default_1, [-1, 3, 1])
mul_tensor_1: float32[6, 3, 4] = aten.mul.Tensor(view_default_3, view_default_4)
view_default_5: float32[2, 3, 12] = aten.view.default(mul_tensor_1, [2, 3, 12])
mul_tensor: float32[2, 3, 12] = aten.mul.Tensor(view_default_5, a)
sum_default: float32[] = aten.sum.default(mul_tensor)
return sum_default""",
    )


def test_dense_matrices_stay():
    build = GraphBuilder()
    x, w = build.input("x", 3, 4), build.input("w", 5, 4)
    graph = build.finish(build.call(aten.sum.default, build.call(aten.linear.default, x, w)))
    before = graph.dump()
    assert BlockedDequantization().run(graph) == 0
    assert graph.dump() == before


@pytest.mark.parametrize(
    ("bits", "zero_point", "tile"), [(4, False, 40), (4, True, 96), (8, True, 40), (8, False, 96)]
)
def test_parity_of_a_model_with_the_tiles_of_its_head(bits, zero_point, tile):
    """Embedding and head are one matrix: gathered, and read whole or tile by tile."""
    model = language_model("llama", batch=2, counted=range(1, 8), tie_word_embeddings=True)
    forward = model.forward_graph()
    names = [role.name for _, role in forward.inputs() if hasattr(role, "name")]
    format = QuantFormat(bits, 32, zero_point)
    quantized = Quantize(stored=dict.fromkeys(names, format), only_stored=True)
    lowered = [LowerAttention(5), LowerLoss(24, tile), BlockedDequantization()]
    graph = joint(
        forward, [Attention(), quantized, ChunkedLoss()], [Normalize(), DequantizePerUse(), *lowered]
    )
    assert not any(node.target is dequantize_rows for node in graph.operations())
    assert not any(isinstance(role, Constant) and "rows" in role.name for _, role in graph.inputs())
    assert {role.format for _, role in graph.inputs() if isinstance(role, Quantized)} == {
        QuantFormat(bits, 32, zero_point, "low_first")
    }
    model.check(graph)
