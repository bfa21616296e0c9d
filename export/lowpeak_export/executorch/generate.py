"""The program that generates, as an ExecuTorch program of two methods over one memory.

Outputs of `token` are the logits, then the adapter's tensors by name; `prompt` gives a tensor of no use.
Arenas may lie in the same bytes; adapter and caches lie in the second buffer, at the same place in both.
"""

from __future__ import annotations

from collections.abc import Collection

from executorch.exir import schema
from torch import fx

from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.decode import Decoder
from lowpeak_compiler.ir.graph import Adapter, State
from lowpeak_export.executorch.program import PlanBuilder, program_of

TOKEN = "token"
PROMPT = "prompt"


def emit_generator(decoder: Decoder, fused: frozenset[str], by_rows: Collection[object]) -> bytes:
    """Raises UnsupportedOperator for an operator without a kernel."""
    constants: list[schema.Buffer] = []

    def plan(method: str, step: PlannedStep, results: list[fx.Node]) -> schema.ExecutionPlan:
        # Adapter and caches are anonymous memory: no page of them is given back.
        state = {node.name for node, role in step.graph.inputs() if isinstance(role, Adapter | State)}
        builder = PlanBuilder(step, fused, True, by_rows, {}, decoder.resident | state, constants)
        return builder.execution_plan(method, results)

    token, prompt = decoder.token, decoder.prompt
    plans = [
        plan(TOKEN, token, [*token.graph.results, *_adapter(token)]),
        plan(PROMPT, prompt, [*prompt.graph.results]),
    ]
    return program_of(plans, constants, [])


def _adapter(step: PlannedStep) -> list[fx.Node]:
    nodes = {role.name: node for node, role in step.graph.inputs() if isinstance(role, Adapter)}
    return [nodes[name] for name in sorted(nodes)]
