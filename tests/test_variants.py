"""Which variants of a graph the planner is asked about."""

from __future__ import annotations

import pytest

from lowpeak_compiler.budget.search import BudgetSearch
from lowpeak_compiler.config import TargetOptions, TrainingOptions
from lowpeak_compiler.frontend.intake import take_in
from lowpeak_compiler.passes.tiling.tile import Tile
from lowpeak_compiler.pipeline import budget_search
from tests.tiny import tiny_llama


def planning(seq_len: int, kernels: str = "lowpeak", batch_size: int = 1) -> BudgetSearch:
    model = tiny_llama(max_position_embeddings=4096, num_hidden_layers=1)
    intake = take_in(model, seq_len=seq_len, batch_size=batch_size, lora=None, example_batch=None, seed=0)
    return budget_search(intake, TrainingOptions(seq_len, batch_size), TargetOptions(kernels=kernels))


@pytest.mark.parametrize(("seq_len", "rows"), [(1501, [376, 94]), (200, [64]), (64, [])])
def test_tokens_in_tiles(seq_len: int, rows: list[int]):
    search = planning(seq_len)
    tiles = [each for variant in search.variants for each in variant.passes if isinstance(each, Tile)]
    assert tiles == [Tile(r) for r in rows]
    assert search.untiled is None


def test_a_target_without_kernels_of_tiles_has_none():
    search = planning(200, kernels="stock")
    assert not any(isinstance(p, Tile) for variant in search.variants for p in variant.passes)
    assert search.untiled is None


def test_why_tokens_stay_in_one_tile():
    search = planning(200, batch_size=2)
    assert not any(isinstance(p, Tile) for variant in search.variants for p in variant.passes)
    assert search.untiled == "the tokens of 2 sequences share an axis"
