"""The planned step -> ONNX models: `training_model.onnx` and `eval_model.onnx`.

Operations are nodes in the planned order, under their own names. Frozen tensors are initializers that lie
in the bundle's weights file, constants in its constants file. The training model has what ONNX Runtime's
training API asks for: adapter tensors and gradient buffers are inputs, and every gradient is added to its
buffer by the node after the operation that makes it.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir
import torch
from torch import fx

from lowpeak_artifact.safetensors_file import Entry
from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.ir.graph import Adapter, Batch, Constant, Frozen, Quantized, forward_nodes
from lowpeak_compiler.ir.nodes import operand
from lowpeak_export.graph_records import frozen_key
from lowpeak_export.onnx.nodes import DTYPES, MICROSOFT, OPSET, Nodes, typed
from lowpeak_export.onnx.operators import MAPPINGS, check_operators

IR_VERSION = 10
RESET = "lazy_reset_grad"
GRADIENT_BUFFER = "{}_grad.accumulation.buffer"
GRADIENT_DONE = "{}_grad.accumulation.out"
LOSS = "loss"


class ExternalFiles:
    """Where the frozen tensors and the constants lie: entries of two files beside the model."""

    def __init__(
        self, weights_file: str, weights: Iterable[Entry], constants_file: str, constants: Iterable[Entry]
    ) -> None:
        self.weights_file, self.constants_file = weights_file, constants_file
        self.weights = {entry.name: entry for entry in weights}
        self.constants = {entry.name: entry for entry in constants}

    def find(self, node: str, role: Frozen | Quantized | Constant) -> tuple[str, Entry]:
        if isinstance(role, Constant):
            return self.constants_file, self.constants[node]
        return self.weights_file, self.weights[frozen_key(role)]


def training_model(step: PlannedStep, files: ExternalFiles) -> ir.Model:
    """Inputs: batch, adapter, gradient buffers, `lazy_reset_grad`. Outputs: loss, a flag a gradient."""
    return _Builder(step, files).training()


def eval_model(step: PlannedStep, files: ExternalFiles) -> ir.Model:
    """Inputs: batch, adapter. Output: loss."""
    return _Builder(step, files).evaluation()


class _Builder:
    def __init__(self, step: PlannedStep, files: ExternalFiles) -> None:
        self.step, self.files = step, files
        self.graph = step.graph
        self.nodes = Nodes(self._value, self._int4)
        self.values: dict[str, ir.Value] = {}
        self.batch: list[ir.Value] = []
        self.adapter: dict[str, ir.Value] = {}
        for node, role in self.graph.inputs():
            if isinstance(role, Batch):
                self.batch.append(self._input(node, role.name))
            elif isinstance(role, Adapter):
                self.adapter[role.name] = self._input(node, role.name)

    def _input(self, node: fx.Node, name: str) -> ir.Value:
        self.values[node.name] = typed(name, node.meta["val"])
        return self.values[node.name]

    def training(self) -> ir.Model:
        buffers = {
            name: typed(GRADIENT_BUFFER.format(name), gradient.meta["val"])
            for name, gradient in zip(self.graph.gradients, self.graph.results[1:], strict=True)
        }
        reset = _flag(RESET)
        made_by = self._gradients_by_operation()
        done = {}
        for node in self.graph.operations():
            self._operation(node)
            for name, gradient in made_by.get(node.name, ()):
                done[name] = self._accumulate(name, gradient, buffers[name], reset)
        inputs = [*self.batch, *self.adapter.values(), *buffers.values(), reset]
        return self._model("training", inputs, [self._loss(), *(done[name] for name in self.graph.gradients)])

    def evaluation(self) -> ir.Model:
        needed = forward_nodes(self.graph)
        for node in self.graph.operations():
            if node in needed:
                self._operation(node)
        return self._model("evaluation", [*self.batch, *self.adapter.values()], [self._loss()])

    def _gradients_by_operation(self) -> dict[str, list[tuple[str, fx.Node]]]:
        """The gradients that are there once an operation ran: its result, or a view of it."""
        gradients: dict[str, list[tuple[str, fx.Node]]] = {}
        for name, gradient in zip(self.graph.gradients, self.graph.results[1:], strict=True):
            gradients.setdefault(self._maker(gradient).name, []).append((name, gradient))
        return gradients

    def _maker(self, node: fx.Node) -> fx.Node:
        """The operation whose result the node is, or is a view of."""
        while node.name in self.step.view.views:
            node = operand(node)
        return node

    def _accumulate(self, name: str, gradient: fx.Node, buffer: ir.Value, reset: ir.Value) -> ir.Value:
        self.nodes.begin(f"{gradient.name}.accumulate.{name}")
        value = self._maker(gradient)
        arguments = self._value(value)
        shape = gradient.meta["val"].shape
        if value.meta["val"].shape != shape:
            arguments = self.nodes.call("Reshape", arguments, self.nodes.ints(shape))
        done = _flag(GRADIENT_DONE.format(name))
        return self.nodes.call_microsoft("InPlaceAccumulatorV2", buffer, arguments, reset, outputs=[done])

    def _loss(self) -> ir.Value:
        """The loss is an output of its own name and has no axes."""
        node = self.graph.results[0]
        output = typed(LOSS, node.meta["val"].new_empty(()))
        self.nodes.begin(LOSS)
        return self.nodes.call("Reshape", self._value(node), self.nodes.ints([]), outputs=[output])

    def _operation(self, node: fx.Node) -> None:
        location = self.step.view.locations[node.name][0]
        if location.value is None:
            return
        check_operators([node])
        self.nodes.begin(node.name)
        self.values[node.name] = MAPPINGS[node.target](self.nodes, node)

    def _value(self, node: fx.Node) -> ir.Value:
        if node.name not in self.values:
            self.values[node.name] = self._frozen(
                node, DTYPES[node.meta["val"].dtype], node.meta["val"].shape
            )
        return self.values[node.name]

    def _int4(self, node: fx.Node) -> ir.Value:
        rows, width = node.meta["val"].shape
        return self._frozen(node, ir.DataType.INT4, (rows, 2 * width))

    def _frozen(self, node: fx.Node, dtype: ir.DataType, shape: Iterable[int]) -> ir.Value:
        """A frozen tensor, or a part of one, where it lies."""
        location = self.step.view.locations[node.name][0]
        assert location.frozen is not None, f"{node.name} is used before it is made"
        role = self.graph.roles[location.frozen]
        assert isinstance(role, Frozen | Quantized | Constant)
        file, entry = self.files.find(location.frozen, role)
        value: torch.Tensor = node.meta["val"]
        nbytes = value.numel() * value.element_size()
        return self.nodes.external(
            node.name, file, entry.offset + location.offset, nbytes, dtype, tuple(shape)
        )

    def _model(self, name: str, inputs: list[ir.Value], outputs: list[ir.Value]) -> ir.Model:
        graph = ir.Graph(
            inputs,
            outputs,
            nodes=self.nodes.nodes,
            initializers=list(self.nodes.initializers.values()),
            opset_imports={"": OPSET, MICROSOFT: 1},
            name=name,
        )
        return ir.Model(graph, ir_version=IR_VERSION, producer_name="lowpeak")


def _flag(name: str) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([1]))
