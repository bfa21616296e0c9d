"""A node that is nearly the start of a pattern is named, with the condition that failed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.ir.graph import Batch, Frozen, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.fuse_add import FuseAdd
from lowpeak_compiler.passes.fuse.fuse_matmul import FuseMatmul
from lowpeak_compiler.passes.fuse.fuse_quantized import FuseQuantized
from lowpeak_compiler.passes.fuse.rms_norm import RmsNorm
from lowpeak_compiler.passes.fuse.rotary import Rotary
from lowpeak_compiler.passes.fuse.swiglu import Swiglu
from lowpeak_compiler.passes.fuse.token_major import TokenMajor
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.passes.stage import Pass
from tests.evaluate import GraphBuilder
from tests.models import language_model
from tests.passes.test_rotary import turned

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
CALLS = frozenset({"quantized_linear", "matmul_add", "rms_norm_backward"})


def reasons(graph: TrainGraph, *passes: Pass) -> list[tuple[str, str]]:
    """Nodes that the last pass nearly fused, and why it did not."""
    runner = Runner(explain=True)
    runner.run(graph, passes)
    return [(miss.node, miss.reason) for miss in runner.records[-1].missed]


class Norm(nn.Module):
    """A loss of an RMSNorm, with one thing about it changed."""

    def __init__(self, change: str = "") -> None:
        super().__init__()
        self.change = change
        self.x = nn.Parameter(torch.randn(4, 4))
        self.weight = nn.Parameter(torch.rand(4), requires_grad=change == "trained")
        self.bias = nn.Parameter(torch.rand(4), requires_grad=False)

    def forward(self, y: Tensor) -> Tensor:
        x = self.x * y
        half = x.half() if self.change == "half" else x
        mean = half.pow(2).mean(0 if self.change == "axis" else -1, keepdim=self.change != "dropped axis")
        if self.change == "centred":
            mean = (half - half.mean(-1, keepdim=True)).pow(2).mean(-1, keepdim=True)
        total = mean if self.change == "no epsilon" else mean + 1e-6
        root = total.rsqrt()
        normed = half * root
        if self.change == "bias first":
            return ((normed + self.bias) * self.weight).sum()
        if self.change == "no weight":
            return normed.sin().sum()
        return (normed * (self.weight.half() if self.change == "half" else self.weight)).sum()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("trained", "its weight is trained"),
        ("axis", "the mean is over the axes [0], not over the last"),
        ("no epsilon", "no constant epsilon is added under the root: aten.mean.dim"),
        ("bias first", "no weight multiplies what is normalized; it is read by aten.add.Tensor"),
        ("no weight", "no weight multiplies what is normalized; it is read by aten.sin.default"),
        ("centred", "the mean is not of the squares of what the root multiplies"),
        ("half", "its input is float16, not float32"),
        ("dropped axis", "the mean drops its axis"),
    ],
)
def test_an_rms_norm_with_one_thing_changed(change: str, reason: str):
    graph = capture(Norm(change), {"y": ((4, 4), torch.float32)})
    assert reasons(graph, RmsNorm()) == [("rsqrt", reason)]


def test_a_root_of_something_else_is_no_near_miss():
    build = GraphBuilder()
    root = build.call(aten.rsqrt.default, build.input("x", 3))
    assert reasons(build.finish(root), RmsNorm()) == []


def attention(query: tuple[int, ...], key: tuple[int, ...], mask: Any = None, **options: Any) -> TrainGraph:
    build = GraphBuilder()
    inputs = [build.input("q", *query), build.input("k", *key), build.input("v", *key)]
    if mask == "given":
        inputs.append(build.input("mask", query[-2], key[-2], dtype=torch.bool, role=Batch("mask")))
    elif mask is not None:
        value = build.call(aten.ones.default, [query[-2], key[-2]], dtype=torch.bool, device="cpu")
        inputs.append(build.call(mask, value, *((1,) if mask is aten.triu.default else ())))
    out = build.call(aten.scaled_dot_product_attention.default, *inputs, **options)
    return build.finish(build.call(aten.sum.default, out))


SHAPE = (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (attention(SHAPE, SHAPE), "it is not causal, and has no mask"),
        (attention(SHAPE, SHAPE, "given"), "its mask depends on the batch, on weights or on chance"),
        (attention(SHAPE, (1, 2, 5, 4), "given"), "its mask is for 3 queries and 5 keys"),
        (attention(SHAPE, SHAPE, aten.alias.default), "its mask lets tokens see later ones"),
        (
            attention(SHAPE, SHAPE, aten.triu.default),
            "its mask hides tokens that are not later ones, as a window or padding does",
        ),
        (attention(SHAPE, SHAPE, dropout_p=0.5, is_causal=True), "dropout_p is 0.5"),
        (
            attention(SHAPE, (1, 2, 5, 4), is_causal=True),
            "queries [1, 2, 3, 4], keys [1, 2, 5, 4] and values [1, 2, 5, 4] differ in tokens or dim",
        ),
        (
            attention((2, 3, 4), (2, 3, 4), is_causal=True),
            "queries are [2, 3, 4], not [batch, heads, tokens, dim]",
        ),
    ],
)
def test_attention_that_is_not_plainly_causal(graph: TrainGraph, reason: str):
    assert reasons(graph, Attention()) == [("scaled_dot_product_attention_default", reason)]


def test_attention_reads_what_is_not_transposed():
    graph = attention(SHAPE, SHAPE, is_causal=True)
    reason = "its queries are q, not heads and tokens swapped"
    assert reasons(graph, Attention(), TokenMajor()) == [("causal_attention_default", reason)]


@pytest.mark.parametrize(
    ("gate", "up", "reason"),
    [
        ((1, 3), (2, 3), "gate [1, 3] and up [2, 3] differ in shape"),
        ((2, 3), None, "no product with another tensor reads it: aten.sin.default"),
    ],
)
def test_an_activation_that_gates_nothing(gate: tuple[int, ...], up: tuple[int, ...] | None, reason: str):
    build = GraphBuilder()
    silu = build.call(aten.silu.default, build.input("gate", *gate))
    read = (
        build.call(aten.mul.Tensor, silu, build.input("up", *up))
        if up
        else build.call(aten.sin.default, silu)
    )
    assert reasons(build.finish(read), Swiglu()) == [("silu_default", reason)]


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (turned(frozen=False), "the cosine's table is trained"),
        (turned(axis=0), "the cosine's table is [1, 1, 3, 4], not [1, 3, 4] and an axis for heads"),
    ],
)
def test_a_rotary_embedding_with_other_tables(graph: TrainGraph, reason: str):
    assert reasons(graph, Rotary()) == [("add_tensor", reason)]


def test_a_sum_without_a_turned_half_is_no_near_miss():
    assert reasons(turned(swapped=True), Rotary()) == []


def matrix(build: GraphBuilder, packing: str = "high_first") -> Any:
    data = build.input("data", 8, 2, dtype=torch.uint8, role=Frozen("data"))
    scale = build.input("scale", 8, 2, dtype=torch.float16, role=Frozen("scale"))
    return build.call(lowpeak.dequantize.default, data, scale, None, 4, packing)


@pytest.mark.parametrize(
    ("reader", "packing", "reason"),
    [
        ("linear", "low_first", "it is packed low_first, kernels read high_first"),
        ("mm", "high_first", "the target has no quantized_linear_input_gradient for mm_default"),
        ("sin", "high_first", "sin_default, aten.sin.default, has no form that reads a quantized matrix"),
        ("input", "high_first", "linear_default reads it as another operand than 'weight'"),
    ],
)
def test_a_matrix_that_stays_dequantized(reader: str, packing: str, reason: str):
    build = GraphBuilder()
    weight = matrix(build, packing)
    read = {
        "linear": lambda: build.call(aten.linear.default, build.input("x", 3, 4), weight),
        "mm": lambda: build.call(aten.mm.default, build.input("x", 3, 8), weight),
        "sin": lambda: build.call(aten.sin.default, weight),
        "input": lambda: build.call(aten.linear.default, weight, build.input("w", 5, 4)),
    }[reader]()
    assert reasons(build.finish(read), FuseQuantized(CALLS)) == [("dequantize_default", reason)]


def test_a_sum_that_a_product_cannot_add_to():
    build = GraphBuilder()
    a, b = build.input("a", 3, 4), build.input("b", 4, 5)
    product = build.call(lowpeak.matmul.default, a, b, False, False, 1.0)
    wide = build.call(aten.add.Tensor, product, build.input("row", 1, 5))
    twice = build.call(aten.add.Tensor, build.input("c", 3, 5), product)
    graph = build.finish(build.call(aten.mul.Tensor, wide, twice))
    assert reasons(graph, FuseAdd(CALLS)) == [
        ("add_tensor", "what is added to matmul_default is broadcast"),
        ("add_tensor_1", "something else reads matmul_default too"),
    ]


def test_products_that_stay():
    build = GraphBuilder()
    x, w = build.input("x", 3, 4), build.input("w", 5, 4)
    biased = build.call(aten.linear.default, x, w, build.input("b", 5))
    whole = build.call(
        aten.mm.default, build.input("i", 3, 4, dtype=torch.int64), build.input("j", 4, 5, dtype=torch.int64)
    )
    product = build.call(aten.linear.default, x, w)
    multiple = build.call(aten.mul.Scalar, product, 2.0)
    graph = build.finish(biased, whole, product, multiple)
    assert FuseMatmul().run(graph) == 1
    assert [(miss.node, miss.reason) for miss in FuseMatmul().misses(graph)] == [
        ("linear_default", "it has a bias"),
        ("mm_default", "it is int64, not float32"),
        ("mul_scalar", "something else reads matmul_default too"),
    ]


class Classifier(nn.Module):
    """A loss over a head, with one thing about it changed."""

    def __init__(self, change: str) -> None:
        super().__init__()
        self.change = change
        self.x = nn.Parameter(torch.randn(3, 4))
        self.head = nn.Linear(4, 8, bias=False).requires_grad_(change == "trained")

    def forward(self, labels: Tensor) -> Tensor:
        logits = self.head(self.x)
        if self.change == "scaled":
            logits = logits * 2
        if self.change == "smoothing":
            return F.cross_entropy(logits, labels, label_smoothing=0.1)
        if self.change == "sum":
            return F.cross_entropy(logits, labels, reduction="sum")
        if self.change == "weights":
            return F.cross_entropy(logits, labels, torch.ones(8))
        return F.cross_entropy(logits, labels)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("trained", "its output matrix is trained"),
        ("scaled", "its logits come from aten.mul.Tensor, not from an output matrix"),
        ("smoothing", "the cross-entropy has label smoothing 0.1"),
        ("sum", "the cross-entropy is no mean"),
        ("weights", "the cross-entropy has class weights"),
    ],
)
def test_a_loss_that_needs_its_logits(change: str, reason: str):
    graph = capture(Classifier(change), {"labels": ((3,), torch.int64)})
    (found,) = reasons(graph, ChunkedLoss())
    assert found == ("cross_entropy_loss", reason)


def test_a_model_that_is_known_has_none():
    runner = Runner(explain=True)
    passes = [Attention(), RmsNorm(), Swiglu(), Rotary(), TokenMajor(), ChunkedLoss()]
    runner.run(language_model().forward_graph(), passes)
    assert [record.missed for record in runner.records] == [()] * 6
    assert all(record.count for record in runner.records)


def test_a_miss_says_where_in_the_model():
    module = nn.ModuleDict({"norm": Norm("trained")})
    module.forward = lambda y: module["norm"](y)  # type: ignore[method-assign]
    graph = capture(module, {"y": ((4, 4), torch.float32)})
    (miss,) = RmsNorm().misses(graph)
    assert (miss.place, miss.operator) == ("norm", "aten.rsqrt.default")
