"""TrainGraph: an fx graph whose node order is the schedule,
and the roles of the values that enter and leave it.

Every tensor enters as a placeholder: a frozen weight, an adapter tensor, a part of the batch or, of a program
that generates, its state. The outputs are the loss and, once differentiated, one gradient per adapter tensor;
those of a program that generates are logits. Shapes are static.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, fx

if TYPE_CHECKING:
    from lowpeak_artifact.batch_input import Ids
    from lowpeak_artifact.quantized import QuantFormat
    from lowpeak_compiler.ir.property import Property

QuantPart = Literal["data", "scale", "zero_point"]


@dataclass(frozen=True)
class Batch:
    """A tensor that the caller gives with every step. `ids`: what it may hold if it is indexed with."""

    name: str
    ids: Ids | None = None


@dataclass(frozen=True)
class Adapter:
    """A trainable tensor; it keeps its value from step to step. `name` is the module's parameter name."""

    name: str


@dataclass(frozen=True)
class Frozen:
    """A parameter or buffer of the model that does not change. `name` is the module's name for it."""

    name: str


@dataclass(frozen=True)
class Quantized:
    """One part of a frozen parameter that is stored quantized."""

    name: str
    format: QuantFormat
    part: QuantPart


@dataclass(frozen=True)
class Constant:
    """A small tensor that the compiler made; equal constants share one name."""

    name: str
    value: Tensor = field(compare=False, repr=False)


@dataclass(frozen=True)
class State:
    """A tensor that operators write into, and that keeps its value from call to call: a cache of keys or
    values."""

    name: str


Role = Batch | Adapter | Frozen | Quantized | Constant | State


@dataclass
class TrainGraph:
    """`graph`: the nodes; `roles`: placeholder name -> role;
    `gradients`: the adapter name of each output after the loss.
    """

    graph: fx.Graph
    roles: dict[str, Role]
    gradients: tuple[str, ...] = ()
    properties: frozenset[Property] = frozenset()
    """Given by the passes that it went through (passes/properties.py)."""
    inferred: dict[object, Any] = field(default_factory=dict, repr=False, compare=False)
    """Results of operators on shapes and types that were seen before (passes/rewrite.py)."""

    def inputs(self) -> Iterator[tuple[fx.Node, Role]]:
        """Placeholders in order, with their roles; they stand before every operation."""
        for node in self.graph.nodes:
            if node.op != "placeholder":
                return
            yield node, self.roles[node.name]

    def operations(self) -> list[fx.Node]:
        return [node for node in self.graph.nodes if node.op == "call_function"]

    @property
    def output(self) -> fx.Node:
        return self.graph.output_node()

    @property
    def results(self) -> tuple[fx.Node, ...]:
        """Loss first, then the gradients."""
        return tuple(self.output.args[0])  # type: ignore[arg-type]

    def add_input(self, role: Role, value: Tensor, name: str) -> fx.Node:
        """A new placeholder after the last one; a constant that is already there is given back."""
        last = None
        for node, known in self.inputs():
            if isinstance(role, Constant) and known == role:
                return node
            last = node
        # Before None is at the front.
        with self.graph.inserting_after(last) if last else self.graph.inserting_before(None):
            node = self.graph.placeholder(name)
        node.meta["val"] = value
        self.roles[node.name] = role
        return node

    def copy(self) -> TrainGraph:
        """An independent graph with the same node names and the same (shared) values."""
        graph = fx.Graph()
        known: dict[fx.Node, fx.Node] = {}
        for node in self.graph.nodes:
            known[node] = graph.node_copy(node, known.__getitem__)
            assert known[node].name == node.name
        return TrainGraph(graph, dict(self.roles), self.gradients, self.properties)

    def drop_unused_inputs(self) -> None:
        """Frozen tensors and constants that nothing reads need not be stored."""
        for node, role in list(self.inputs()):
            if not node.users and isinstance(role, Frozen | Quantized | Constant):
                self.graph.erase_node(node)
                del self.roles[node.name]

    def verify(self) -> None:
        """Asserts what every pass must leave true: a valid graph, static shapes, known roles,
        loss and gradients.
        """
        self.graph.lint()
        adapters: dict[str, fx.Node] = {}
        inputs_end = False
        for node in self.graph.nodes:
            if node.op == "placeholder":
                assert not inputs_end, f"input {node.name} stands after an operation"
                assert node.name in self.roles, f"{node.name} has no role"
                role = self.roles[node.name]
                if isinstance(role, Adapter):
                    adapters[role.name] = node
            elif node.op == "call_function":
                inputs_end = True
                assert "val" in node.meta, f"{node.format_node()} has no value"
                assert self.changes_state_only(node), f"{node.format_node()} changes its operand"
                for value in tensors_of(node):
                    assert all(isinstance(size, int) for size in value.shape), (
                        f"{node.name} has a dynamic shape"
                    )
            else:
                assert node.op == "output", f"{node.op} node {node.name}"
        loss, *gradients = self.results
        if self.gradients:
            assert loss.meta["val"].numel() == 1, f"loss has shape {tuple(loss.meta['val'].shape)}"
        assert len(gradients) == len(self.gradients)
        for name, gradient in zip(self.gradients, gradients, strict=True):
            assert gradient.meta["val"].shape == adapters[name].meta["val"].shape, f"gradient of {name}"

    def changes_state_only(self, node: fx.Node) -> bool:
        """Whether all that the operator writes into is state."""
        if not changes_operand(node):
            return True
        written = [
            node.args[i]
            for i, argument in enumerate(node.target._schema.arguments)  # type: ignore[union-attr]
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        return all(
            isinstance(each, fx.Node) and isinstance(self.roles.get(each.name), State) for each in written
        )

    def dump(self) -> str:
        """One line a node: name, dtype and shape, operator and operands, in schedule order."""
        return "\n".join(filter(None, map(self._line, self.graph.nodes)))

    def _line(self, node: fx.Node) -> str:
        if node.op == "output":
            return f"return {', '.join(result.name for result in self.results)}"
        shapes = ", ".join(f"{str(v.dtype)[6:]}{list(v.shape)}" for v in tensors_of(node))
        if node.op == "placeholder":
            role = self.roles[node.name]
            part = f".{role.part}" if isinstance(role, Quantized) else ""
            return f"{node.name}: {shapes} = {type(role).__name__.lower()} {role.name}{part}"
        arguments = ", ".join([*map(str, node.args), *(f"{k}={v}" for k, v in node.kwargs.items())])
        return f"{node.name}: {shapes} = {operator_name(node)}({arguments})"


def forward_nodes(graph: TrainGraph) -> set[fx.Node]:
    """What the loss depends on. Placeholders are not counted; everything else belongs to the backward."""
    nodes: set[fx.Node] = set()
    pending = [graph.results[0]]
    while pending:
        node = pending.pop()
        if node not in nodes and node.op == "call_function":
            nodes.add(node)
            pending.extend(node.all_input_nodes)
    return nodes


def tensors_of(node: fx.Node) -> tuple[Tensor, ...]:
    """The (fake) tensors that a node returns: one, or several for a multi-output operator."""
    value = node.meta["val"]
    return (value,) if isinstance(value, Tensor) else tuple(v for v in value if isinstance(v, Tensor))


def changes_operand(node: fx.Node) -> bool:
    """Whether the operator writes into a tensor that it is given."""
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable


def operator_name(node: fx.Node) -> str:
    """`aten.mm.default`, `lowpeak.dequantize.default` or `getitem`."""
    target = node.target
    return (
        str(target) if isinstance(target, torch._ops.OpOverload) else getattr(target, "__name__", str(target))
    )


def place_of(node: fx.Node) -> str:
    """Where in the model a node comes from, as a user knows it: the path of its innermost module."""
    stack = node.meta.get("nn_module_stack")
    return list(stack.values())[-1][0] or "the model itself" if stack else "the backward of the model"
