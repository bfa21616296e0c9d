"""Tokens in tiles: parity with eager, the order of tiles, and what it does to the peak."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.program_view import program_view, rates
from lowpeak_compiler.budget.targets import target
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
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.passes.stage import Pass
from lowpeak_compiler.passes.tiling.split import CannotTile
from lowpeak_compiler.passes.tiling.tile import Tile
from lowpeak_compiler.plan.liveness import live_bytes, live_ranges
from lowpeak_compiler.plan.rematerialize import Decisions, carry_out
from tests.evaluate import GraphBuilder
from tests.models import TOKENS, LanguageModel, joint, language_model

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
RUNTIME = target("executorch", "lowpeak")
COMPOSITES: list[Pass] = [Attention(), RmsNorm(), Swiglu(), Rotary(), TokenMajor(), Quantize()]
LOWERING: list[Pass] = [
    Normalize(), DequantizePerUse(), FuseQuantized(RUNTIME.fused), FuseMatmul(), FuseAdd(RUNTIME.fused),
]  # fmt: skip


def lowered(model: LanguageModel, *forward: Pass) -> TrainGraph:
    return joint(model.forward_graph(), [*COMPOSITES, *forward, ChunkedLoss()], LOWERING)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma"])
@pytest.mark.parametrize("rows", [6, 5, 1])
def test_parity(kind: str, rows: int):
    model = language_model(kind, num_hidden_layers=3)
    graph = lowered(model)
    runner = Runner()
    runner.run(graph, [Tile(rows)])
    assert runner.applied["Tile"] > 100
    model.check(graph)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity_of_masked_logits(kind: str):
    counted = (1, 2, 7, 8)
    model = language_model(kind, num_hidden_layers=2, counted=counted)
    graph = Runner().run(lowered(model, MaskLogits(5)), [Tile(5)])
    rows = torch.tensor([*counted, 0])
    picked = model.batch["targets"][0][rows]
    picked[-1] = -100
    model.check(graph, {**model.batch, "rows": rows, "targets": picked})


def test_one_tile_is_the_graph_itself():
    graph = lowered(language_model())
    before = graph.dump()
    assert Tile(TOKENS).run(graph) == 0
    assert graph.dump() == before


def test_sequences_of_a_batch_are_not_cut():
    graph = lowered(language_model(batch=2))
    before = graph.dump()
    with pytest.raises(CannotTile, match="the tokens of 2 sequences share an axis"):
        Tile(4).run(graph)
    assert graph.dump() == before


def lookup(build: GraphBuilder) -> Any:
    """Rows [1, 6, 4] of a table by token ids, and an adapter matrix."""
    ids = build.input("ids", 1, 6, dtype=torch.int64, role=Batch("ids"))
    table = build.input("table", 9, 4, role=Frozen("table"))
    return build.call(aten.embedding.default, table, ids), build.input("a", 3, 4)


def test_golden():
    """loss = sum over tokens of x a'; its gradient by a is ones' x."""
    build = GraphBuilder()
    x, a = lookup(build)
    x = build.call(aten.view.default, x, [6, 4])
    y = build.call(lowpeak.matmul.default, x, a, False, True, 1.0)
    loss = build.call(aten.sum.dim_IntList, y, [0, 1])
    ones = build.call(aten.full.default, [6, 3], 1.0)
    graph = build.finish(loss, build.call(lowpeak.matmul.default, ones, x, True, False, 1.0))
    graph.gradients = ("a",)
    Runner().run(graph, [Tile(4)])
    assert_expected_inline(
        graph.dump(),
        """\
ids: int64[1, 6] = batch ids
table: float32[9, 4] = frozen table
a: float32[3, 4] = adapter a
ids_rows0: int64[1, 4] = aten.slice.Tensor(ids, 1, 0, 4)
embedding_default_tile0: float32[1, 4, 4] = aten.embedding.default(table, ids_rows0)
view_default_tile0: float32[4, 4] = aten.view.default(embedding_default_tile0, [4, 4])
matmul_default_tile0: float32[4, 3] = lowpeak.matmul.default(view_default_tile0, a, False, True, 1.0)
sum_dim_int_list_tile0: float32[] = aten.sum.dim_IntList(matmul_default_tile0, [0, 1])
ids_rows1: int64[1, 2] = aten.slice.Tensor(ids, 1, 4, 6)
embedding_default_tile1: float32[1, 2, 4] = aten.embedding.default(table, ids_rows1)
view_default_tile1: float32[2, 4] = aten.view.default(embedding_default_tile1, [2, 4])
matmul_default_tile1: float32[2, 3] = lowpeak.matmul.default(view_default_tile1, a, False, True, 1.0)
sum_dim_int_list_tile1_before: float32[] = aten.sum.dim_IntList(matmul_default_tile1, [0, 1])
sum_dim_int_list_tile1: float32[] = aten.add.Tensor(sum_dim_int_list_tile0, sum_dim_int_list_tile1_before)
full_default: float32[6, 3] = aten.full.default([6, 3], 1.0)
full_default_rows1: float32[2, 3] = aten.slice.Tensor(full_default, 0, 4, 6)
full_default_apart1: float32[2, 3] = lowpeak.write_rows.default(None, full_default_rows1, 0, 0, 2)
full_default_rows0: float32[4, 3] = aten.slice.Tensor(full_default, 0, 0, 4)
full_default_apart0: float32[4, 3] = lowpeak.write_rows.default(None, full_default_rows0, 0, 0, 4)
matmul_default_1_tile1: float32[3, 4] = lowpeak.matmul.default(full_default_apart1, view_default_tile1, True, False, 1.0)
matmul_default_1_tile0: float32[3, 4] = lowpeak.matmul_add.default(matmul_default_1_tile1, full_default_apart0, view_default_tile0, True, False, 1.0)
return sum_dim_int_list_tile1, matmul_default_1_tile0""",
    )


def test_an_operator_without_a_rule_is_named():
    build = GraphBuilder()
    x, a = lookup(build)
    flipped = build.call(aten.flip.default, x, [1])
    graph = build.finish(build.call(aten.sum.dim_IntList, flipped, [0, 1, 2]), a)
    with pytest.raises(CannotTile, match=r"aten.flip.default in .* has no rule"):
        Tile(4).run(graph)


def peak(rows: int, model: LanguageModel) -> int:
    """Bytes live at the worst step, with nothing but the residual stream kept for the backward."""
    graph = Runner().run(lowered(model), [Tile(rows)])
    view = program_view(graph, RUNTIME, device("laptop"))
    kept = ("add_", "quantized_linear_cross_entropy", "dequantize_rows", "cos", "sin")
    again = {op.name for op in view.program.ops if op.forward and not op.name.startswith(kept)}
    decided = carry_out(view.program, Decisions(frozenset(again)), rates(device("laptop"), RUNTIME))
    return max(live_bytes(decided, RUNTIME.alignment))


def test_the_peak_falls_with_the_rows_of_a_tile():
    """The MLP's rows are 16 times as wide as the hidden ones, and only one tile's are there at a time."""
    model = language_model(num_hidden_layers=2, intermediate_size=1024)
    tokens = {name: torch.zeros(1, 96, dtype=torch.int64) for name in model.batch}
    long = dataclasses.replace(model, batch=tokens)
    peaks = [peak(rows, long) for rows in (96, 48, 24)]
    # At least two values of an MLP for the rows of a tile.
    assert peaks[0] - peaks[1] > 2 * 48 * 1024 * 4
    assert peaks[1] - peaks[2] > 2 * 24 * 1024 * 4


def test_keys_of_one_layer_are_there_at_a_time():
    model = language_model(num_hidden_layers=3)
    graph = Runner().run(lowered(model), [Tile(4)])
    order = [node.name for node in graph.operations()]
    attention = [i for i, name in enumerate(order) if name.startswith("causal_attention") and "tile" in name]
    layers = [order[i].rsplit("_tile", 1)[0] for i in attention]
    assert layers == sorted(layers, key=layers.index), "a layer's tiles are not together"
    tiles = [order[i].rsplit("_tile", 1)[1] for i in attention if "backward" not in order[i]]
    assert tiles == ["0", "1", "2"] * 3
    backward = [node for node in graph.operations() if "causal_attention_backward" in str(node.target)]
    assert [node.args[-1] for node in backward] == [8, 4, 0] * 3


def test_what_is_written_and_added_up_stays_in_its_place():
    graph = Runner().run(lowered(language_model(num_hidden_layers=2)), [Tile(4)])
    view = program_view(graph, RUNTIME, device("laptop"))
    live = live_ranges(view.program)
    carried = ("write_rows", "causal_attention_backward_add")
    for node in graph.operations():
        if any(name in str(node.target) for name in carried) and node.args[0] is not None:
            operands = node.args[: 2 if "backward" in str(node.target) else 1]
            results = view.locations[node.name][-len(operands) :]
            for operand, result in zip(operands, results, strict=True):
                place = view.locations[operand.name][0]
                assert live.buffer[result.value] == live.buffer[place.value], node.name
