"""The model that was compiled for training, as a program that generates: tokens in, logits of the next out.

capture with positions as an input -> the passes of the training's forward -> lowered without a backward
-> attention over caches -> order, arena

There are two graphs over the same state: of one token, and of PROMPT_TOKENS at a time, which fill the caches
only. Weights are read from the training's file. Memory is decided in this order: the longest cache that fits
the budget, then weights that stay resident from token to token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import fx, nn

from lowpeak_artifact.errors import ModelError, told_as_model_error
from lowpeak_compiler.budget.decode_footprint import DecodeFootprint, footprint_of, state_bytes, weight_use
from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.footprint import bytes_of
from lowpeak_compiler.budget.planned import PlannedStep, place
from lowpeak_compiler.budget.program_view import program_view
from lowpeak_compiler.budget.targets import Target, target
from lowpeak_compiler.budget.variants import WORKSPACES, lowering
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.frontend.causal_lm import CausalLMLoss, next_token_module
from lowpeak_compiler.frontend.differentiate import lower_forward
from lowpeak_compiler.frontend.joint import forward_passes
from lowpeak_compiler.ir.graph import Frozen, Quantized, State, TrainGraph
from lowpeak_compiler.ir.nodes import shape_of
from lowpeak_compiler.passes.apply.reorder import Reorder
from lowpeak_compiler.passes.contract import made
from lowpeak_compiler.passes.lower.cached_attention import POSITIONS, CachedAttention
from lowpeak_compiler.passes.pipeline import generation_pipeline
from lowpeak_compiler.passes.runner import Runner
from lowpeak_compiler.passes.stages import Capture, LowerForward
from lowpeak_compiler.passes.tiling.axes import follow_tokens
from lowpeak_compiler.passes.tiling.split import CannotTile
from lowpeak_compiler.pipeline import Compiled
from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_compiler.plan.order.schedule import schedule

PROMPT_TOKENS = 16
LEAST_TOKENS = 16
"""A cache of fewer is of no use."""
SLACK = 0.1
"""Share of the arena that offsets may waste: it is small beside the caches."""
cached_attention = torch.ops.lowpeak.cached_attention.default
causal_attention = torch.ops.lowpeak.causal_attention.default


@dataclass(frozen=True)
class Decoder:
    """`token`: one token in, its logits out; `prompt`: `prompt_tokens` in, and the caches are filled.

    State has the same place in both. `resident`: inputs that stay in memory between two tokens.
    """

    token: PlannedStep
    prompt: PlannedStep
    prompt_tokens: int
    longest: int
    """Tokens that the caches hold, prompt and answer together."""
    resident: frozenset[str]
    footprint: DecodeFootprint
    vocabulary: int
    seconds: float
    """Predicted for a token, when all weights are in the page cache."""


def compile_decoder(
    compiled: Compiled,
    *,
    beside: int = 0,
    check: Callable[[Iterable[fx.Node]], None] = lambda _: None,
    progress: Callable[[str], None] = lambda _: None,
) -> Decoder:
    """The program of a compiled training step's model, within the step's budget, of which `beside` bytes are
    the tokenizer's. The step stays as it is, its module cannot be captured any more.

    Raises ModelError and UnsupportedOperator with the reason for a model that cannot be generated with.
    """
    runtime = target(compiled.for_target.target, compiled.for_target.kernels)
    if not {"cached_attention"} <= runtime.fused:
        raise ModelError("only kernels='lowpeak' for ExecuTorch have attention with a cache")
    module = compiled.intake.module
    if not isinstance(module, CausalLMLoss):
        raise ModelError("a plain module has no tokens to generate")
    progress("compiling the program that generates")
    with told_as_model_error("the program that generates cannot be made"):
        next_token = next_token_module(module)
        graphs = [_lowered(next_token, compiled, tokens, runtime) for tokens in (1, PROMPT_TOKENS)]
        _require_causal(graphs[1], compiled)
        for graph in graphs:
            check(graph.operations())
            _require_stored(graph, compiled)
        return _within_budget(graphs, compiled, runtime, beside)


def _lowered(module: nn.Module, compiled: Compiled, tokens: int, runtime: Target) -> TrainGraph:
    """The forward of so many tokens, attention still that of a whole sequence."""
    shape = ((1, tokens), torch.int64)
    pipeline = generation_pipeline(compiled.training, runtime)
    runner = Runner()
    batch = {"input_ids": shape, POSITIONS: shape}
    graph = runner.passed(Capture(), capture(module, batch, prefix=compiled.intake.prefix, loss=False))
    runner.run(graph, forward_passes(pipeline, compiled.intake, compiled.training, graph))
    graph = runner.passed(LowerForward(), lower_forward(graph))
    runner.run(graph, made(pipeline.joint, {}))
    return runner.run(graph, lowering(graph, runtime, WORKSPACES[0]))


def _require_causal(graph: TrainGraph, compiled: Compiled) -> None:
    """Raises ModelError unless tokens meet in attention only, in the training step's causal attention."""
    count = sum(node.target is causal_attention for node in graph.operations())
    known = compiled.applied.get("Attention", 0)
    if count != known:
        raise ModelError(
            f"{count} attentions, of which {known} are causal and nothing else: masks, biases and windows "
            "of a model's own have no cache"
        )
    try:
        follow_tokens(graph)
    except CannotTile as refused:
        raise ModelError(
            f"a token may need more of those before it than keys and values: {refused}"
        ) from refused


def _require_stored(graph: TrainGraph, compiled: Compiled) -> None:
    """Raises ModelError if the program needs a frozen tensor that the training step has not."""
    stored = _frozen(compiled.step.graph)
    missing = sorted(_frozen(graph) - stored, key=str)
    if missing:
        raise ModelError(
            f"{missing[0].name} is in the artifact for training in no form that generating needs"
        )


def _frozen(graph: TrainGraph) -> set[Frozen | Quantized]:
    return {role for _, role in graph.inputs() if isinstance(role, Frozen | Quantized)}


def _fills_caches(graph: TrainGraph) -> None:
    """Leaves out what comes after the last attention: the prompt's logits are of no use."""
    last = [node for node in graph.operations() if node.target is cached_attention][-1]
    graph.output.args = ((last,),)
    graph.graph.eliminate_dead_code()
    graph.drop_unused_inputs()
    graph.verify()


def _within_budget(graphs: list[TrainGraph], compiled: Compiled, runtime: Target, beside: int) -> Decoder:
    """The longest cache within the budget, up to the sequence that the step is compiled for."""
    budget, longest = compiled.budget.nbytes, compiled.training.seq_len
    while True:
        token, prompt = (_cached(graph.copy(), longest) for graph in graphs)
        _fills_caches(prompt)
        steps = [_placed(graph, runtime, compiled) for graph in (token, prompt)]
        arena = max(step.arena_bytes for step in steps)
        state = state_bytes(token)
        use = weight_use([token, prompt])
        least = footprint_of([token, prompt], runtime, arena, state, use.held(()), beside)
        if least.total <= budget:
            break
        fitting = longest - -(-(least.total - budget) // _bytes_a_token(token, longest))
        if fitting < min(LEAST_TOKENS, compiled.training.seq_len):
            raise ModelError(
                f"the budget of {budget / 1e6:g} MB leaves room for {max(fitting, 0)} tokens: {least.total} "
                f"bytes are needed for {longest}"
            )
        longest = fitting
    assert prompt.roles.items() <= token.roles.items(), "both programs have inputs of one name"
    assert steps[0].file_offsets == steps[1].file_offsets, "both programs have one state"
    resident = use.staying(budget - (least.total - least.weights))
    footprint = replace(least, weights=use.held(resident))
    seconds = sum(op.seconds for op in steps[0].view.program.ops)
    vocabulary = shape_of(token.results[0])[-1]
    token_step, prompt_step = steps
    return Decoder(token_step, prompt_step, PROMPT_TOKENS, longest, resident, footprint, vocabulary, seconds)


def _cached(graph: TrainGraph, longest: int) -> TrainGraph:
    return Runner().run(graph, [CachedAttention(longest)])


def _bytes_a_token(graph: TrainGraph, longest: int) -> int:
    """Of all caches."""
    return sum(bytes_of(node) for node, role in graph.inputs() if isinstance(role, State)) // longest


def _placed(graph: TrainGraph, runtime: Target, compiled: Compiled) -> PlannedStep:
    profile = device(compiled.for_target.device)
    order = schedule(program_view(graph, runtime, profile).program)
    Runner().run(graph, [Reorder(tuple(op.name for op in order.ops))])
    view = program_view(graph, runtime, profile)
    peak = max(live_bytes(view.program, runtime.alignment), default=0)
    return place(graph, view, runtime, int(peak * (1 + SLACK)))
