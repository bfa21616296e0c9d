from __future__ import annotations

from dataclasses import replace

import pytest

from lowpeak_compiler.budget.footprint import bytes_of, footprint_of
from lowpeak_compiler.ir.graph import Batch
from tests.models import TOKENS, language_model
from tests.passes.test_tile import RUNTIME, lowered


@pytest.mark.parametrize("counted", [0, 100, 10_000])
def test_attention_scratch_is_counted_where_it_is_more_than_every_graph_is_given(counted: int):
    graph = lowered(language_model())
    target = replace(RUNTIME, attention_scratch_bytes=counted)
    found = footprint_of(graph, target, "adamw", 0, 7)
    assert found.attention == max(0, 4 * TOKENS * 4 - counted)
    own = target.runtime_bytes + 7 * target.runtime_bytes_per_op
    assert found.runtime == own + found.attention + found.batch
    assert found.batch == sum(bytes_of(node) for node, role in graph.inputs() if isinstance(role, Batch)) > 0
    assert found.with_program(target, 10, 9).runtime == found.runtime + 2 * target.runtime_bytes_per_op
