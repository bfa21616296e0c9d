"""Operators run by ONNX Runtime with the session options that artifacts have: all cases in one model."""

from __future__ import annotations

from collections.abc import Sequence
from operator import getitem
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from torch import Tensor, fx

from lowpeak_compiler.passes.stage import Pass
from lowpeak_export.onnx.model import IR_VERSION
from lowpeak_export.onnx.nodes import MICROSOFT, OPSET, Nodes, typed
from lowpeak_export.onnx.operators import MAPPINGS, check_operators
from lowpeak_export.onnx.runtime import SESSION_OPTIONS, session_options
from tests.export.executorch.run import graph_of
from tests.export.numerics.case import Case


def run(cases: Sequence[Case], folder: Path, passes: Sequence[Pass] = ()) -> list[tuple[Tensor, ...]]:
    """What the runtime gives for each case. Raises UnsupportedOperator after the passes."""
    graph, tensors, counts = graph_of(cases)
    for transformation in passes:
        transformation.run(graph)
    check_operators(graph.operations())
    inputs = {node.name: tensor for (node, _), tensor in zip(graph.inputs(), tensors, strict=True)}
    values = {name: typed(name, tensor) for name, tensor in inputs.items()}

    def int4(operand: fx.Node) -> ir.Value:
        """Artifacts have the bytes of two columns in one, in a file beside the model."""
        data = inputs.pop(operand.name)
        values.pop(operand.name)
        (folder / "weights").write_bytes(data.numpy().tobytes())
        shape = (data.shape[0], 2 * data.shape[1])
        return nodes.external(operand.name, "weights", 0, data.nbytes, ir.DataType.INT4, shape)

    nodes = Nodes(lambda operand: values[operand.name], int4)
    for node in graph.operations():
        if node.target is not getitem:
            nodes.begin(node.name)
            values[node.name] = MAPPINGS[node.target](nodes, node)
    outputs = [typed(f"result_{i}", node.meta["val"]) for i, node in enumerate(graph.results)]
    for node, output in zip(graph.results, outputs, strict=True):
        nodes.call("Identity", values[node.name], outputs=[output])
    model = ir.Graph(
        [values[name] for name in inputs],
        outputs,
        nodes=nodes.nodes,
        initializers=list(nodes.initializers.values()),
        opset_imports={"": OPSET, MICROSOFT: 1},
        name="cases",
    )
    ir.save(ir.Model(model, ir_version=IR_VERSION), folder / "cases.onnx")
    session = onnxruntime.InferenceSession(
        str(folder / "cases.onnx"), session_options(SESSION_OPTIONS), providers=["CPUExecutionProvider"]
    )
    parameters = session.run_with_ort_values(
        None, {name: onnxruntime.OrtValue.ortvalue_from_numpy(t.numpy()) for name, t in inputs.items()}
    )
    results = map(_tensor, parameters)
    return [tuple(next(results) for _ in range(count)) for count in counts]


def _tensor(value: onnxruntime.OrtValue) -> Tensor:
    if value.data_type() == "tensor(bfloat16)":
        return torch.from_dlpack(value._ortvalue)
    return torch.from_numpy(np.array(value.numpy()))
