"""A module on fake weights -> the forward TrainGraph (torch.export), loss as its only output.

No weight is read here: parameters and buffers are fake tensors, so a 3B model is captured in seconds and
megabytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.export.graph_signature import InputKind, OutputKind
from torch.utils._pytree import tree_leaves

from lowpeak_artifact.errors import (
    LowpeakError,
    ModelError,
    UnsupportedOperator,
    summary,
    told_as_model_error,
)
from lowpeak_compiler.frontend.autograd_only import refusing_own_gradients
from lowpeak_compiler.frontend.bounded_calls import bounded_calls
from lowpeak_compiler.frontend.no_grad import (
    detach_out_of_place,
    inline_no_grad,
    require_no_writes_to_detached,
)
from lowpeak_compiler.ir.graph import (
    Adapter,
    Batch,
    Constant,
    Frozen,
    Role,
    TrainGraph,
    changes_operand,
    operator_name,
    place_of,
)
from lowpeak_compiler.passes.normalize import drop_no_ops


def to_fake(module: nn.Module) -> FakeTensorMode:
    """Replaces every parameter and buffer, in place, by a float32 fake CPU tensor; ties are kept."""
    mode = FakeTensorMode()
    replaced: dict[int, Tensor] = {}

    def fake(tensor: Tensor) -> Tensor:
        if id(tensor) not in replaced:
            dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
            meta = torch.empty(tensor.shape, dtype=dtype, device="meta")
            value: Tensor = FakeTensor(mode, meta, torch.device("cpu"))
            if isinstance(tensor, nn.Parameter):
                value = nn.Parameter(value, requires_grad=tensor.requires_grad)
            replaced[id(tensor)] = value
        return replaced[id(tensor)]

    for child in module.modules():
        for table in (child._parameters, child._buffers):
            for name, tensor in table.items():
                if tensor is not None:
                    table[name] = fake(tensor)  # type: ignore[assignment]
    return mode


def capture(
    module: nn.Module,
    batch: Mapping[str, tuple[tuple[int, ...], torch.dtype]],
    *,
    prefix: str = "",
    loss: bool = True,
) -> TrainGraph:
    """`module(**batch)` must return the scalar loss. `batch`: name -> (shape, dtype). `module` becomes fake.

    `prefix` is taken off the names of parameters and buffers; `loss`: False for a module that returns any
    tensor.

    Raises ModelError when there is nothing to train, the loss is no scalar, the model changes its buffers, or
    torch.export cannot follow it.
    """
    trainable = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    if not trainable:
        raise ModelError(
            "the model has no trainable parameter: every parameter has requires_grad=False. Pass a PeftModel "
            "whose adapter is trainable, a bare PreTrainedModel (a LoRA is added), or unfreeze some "
            "parameters.",
            trainable_parameters=0,
        )
    with to_fake(module):
        inputs = {name: torch.zeros(shape, dtype=dtype) for name, (shape, dtype) in batch.items()}
        try:
            with refusing_own_gradients(), bounded_calls(module):
                program = torch.export.export(module, (), kwargs=inputs, strict=False)
        except LowpeakError:
            raise
        except Exception as error:
            raise ModelError(
                f"torch.export cannot follow the model's forward: {summary(error)}. Data-dependent control "
                "flow and shapes are not supported; the model must give a scalar loss for module(**batch)."
            ) from error
        inline_no_grad(program.graph_module)
        detach_out_of_place(program.graph)
        require_no_writes_to_detached(program.graph, _inputs_named(program, set(trainable)))
        # Before decompositions, which put the parts of autocast where they stand as if there were none.
        for node in program.graph.nodes:
            _require_operator(node)
        if any(changes_operand(node) for node in program.graph.nodes):
            with told_as_model_error("the operators that change their operands cannot be replaced"):
                program = program.run_decompositions({})
    graph = _train_graph(program, set(trainable), _first_names(module), prefix)
    if loss:
        _require_scalar(graph)
    return graph


def _inputs_named(program: torch.export.ExportedProgram, targets: set[str]) -> list[fx.Node]:
    names = {spec.arg.name for spec in program.graph_signature.input_specs if spec.target in targets}
    return [node for node in program.graph.nodes if node.op == "placeholder" and node.name in names]


def _first_names(module: nn.Module) -> dict[str, str]:
    """Every name of a parameter or buffer -> its first one, which is another where tensors are tied."""
    first: dict[int, str] = {}
    tensors = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    return {name: first.setdefault(id(tensor), name) for name, tensor in tensors}


def _require_operator(node: fx.Node) -> None:
    """Raises UnsupportedOperator for what torch.export makes of autocast and control flow."""
    if node.op == "call_function" and not isinstance(node.target, torch._ops.OpOverload | type(len)):
        raise UnsupportedOperator(
            f"{operator_name(node)} in {place_of(node)!r} is no operator that lowpeak can differentiate; "
            "write the model without control-flow operators and autocast",
            operator=operator_name(node),
        )


def _require_static(node: fx.Node) -> None:
    """Raises UnsupportedOperator for an operator whose result is a number, or has a shape, that the data
    decide."""
    if node.op != "call_function":
        return
    for value in tree_leaves(node.meta.get("val")):
        numbers = value.shape if isinstance(value, Tensor) else [value]
        if any(isinstance(number, torch.SymInt | torch.SymFloat | torch.SymBool) for number in numbers):
            raise UnsupportedOperator(
                f"{operator_name(node)} in {place_of(node)!r} gives a shape or a number that depends on the "
                "data; shapes are static: write that part of the model with masks, or leave it out",
                operator=operator_name(node),
                place=place_of(node),
            )


def _train_graph(
    program: torch.export.ExportedProgram, learned: set[str], first_names: Mapping[str, str], prefix: str
) -> TrainGraph:
    signature = program.graph_signature
    mutated = [s.target for s in signature.output_specs if s.kind in (OutputKind.BUFFER_MUTATION,)]
    if mutated:
        raise ModelError(
            f"the forward changes {len(mutated)} buffer(s), first {mutated[0]!r}; only stateless models can "
            "be compiled. Put normalisation layers into eval mode and turn caches off.",
            mutated_buffers=len(mutated),
        )
    graph = fx.Graph()
    roles: dict[str, Role] = {}
    specs = {spec.arg.name: spec for spec in signature.input_specs}
    environment: dict[fx.Node, fx.Node] = {}
    tensors: dict[str, fx.Node] = {}
    for node in program.graph.nodes:
        _require_static(node)
        target = first_names.get(str(specs[node.name].target)) if node.op == "placeholder" else None
        if target in tensors:
            environment[node] = tensors[target]
            continue
        copy = graph.node_copy(node, lambda n: environment[n])
        environment[node] = copy
        if node.op != "placeholder":
            continue
        spec = specs[node.name]
        if spec.kind is InputKind.USER_INPUT:
            roles[copy.name] = Batch(spec.arg.name)
        elif spec.kind is InputKind.CONSTANT_TENSOR:
            constant = program.constants[str(spec.target)]
            if isinstance(constant, FakeTensor):
                raise UnsupportedOperator(
                    f"the model takes a tensor {list(constant.shape)} out of its computation, as .data and "
                    ".numpy() do; use detach()"
                )
            roles[copy.name] = Constant(str(spec.target), constant)
        else:
            assert target is not None
            tensors[target] = copy
            name = target.removeprefix(prefix)
            roles[copy.name] = Adapter(name) if target in learned else Frozen(name)
    captured = TrainGraph(graph, roles)
    captured.output.args = ((captured.results[0],),)
    drop_no_ops(captured)
    captured.drop_unused_inputs()
    captured.verify()
    return captured


def _require_scalar(graph: TrainGraph) -> None:
    shape = tuple(graph.results[0].meta["val"].shape)
    if math.prod(shape) != 1:
        raise ModelError(f"the module must return a scalar loss; its first output has shape {shape}")
