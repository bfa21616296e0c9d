"""`optimizer_model.onnx`: one update of the adapter from its gradient buffers, equal to torch's optimizers.

Learning rate and step are inputs; everything else is in the model.
"""

from __future__ import annotations

import onnx_ir as ir

from lowpeak_export.onnx.model import IR_VERSION
from lowpeak_export.onnx.nodes import MICROSOFT, OPSET

TORCH_ADAMW = 0
"""adam_mode of torch: decay first, epsilon added after the bias correction. 1 is that of transformers."""


def default_optimizer_model(algorithm: str) -> ir.Model:
    """With torch's defaults, but without weight decay, as a training run has them unless told otherwise."""
    if algorithm == "sgd":
        return sgd_model()
    return adamw_model(betas=(0.9, 0.999), epsilon=1e-8, weight_decay=0.0)


def adamw_model(
    *, betas: tuple[float, float], epsilon: float, weight_decay: float, clip_norm: float | None = None
) -> ir.Model:
    """AdamW with bias correction; gradients are scaled to a global 2-norm of at most `clip_norm` before."""
    attributes = {
        "alpha": float(betas[0]),
        "beta": float(betas[1]),
        "epsilon": float(epsilon),
        "weight_decay": float(weight_decay),
        "correct_bias": 1,
        "adam_mode": TORCH_ADAMW,
    }
    rate, step = _scalar("learning_rate", ir.DataType.FLOAT), _scalar("step", ir.DataType.INT64)
    params, gradients, first, second = map(
        _sequence, ("params", "gradients", "first_order_moments", "second_order_moments")
    )
    nodes, clipped = _clipped(gradients, clip_norm)
    inputs = [rate, step, params, clipped, first, second]
    update = ir.node("AdamWOptimizer", inputs, attributes, domain=MICROSOFT, name="update", outputs=[_done()])
    return _model([rate, step, params, gradients, first, second], [*nodes, update])


def sgd_model(*, clip_norm: float | None = None) -> ir.Model:
    """Plain stochastic gradient descent: the runtime's has neither momentum nor weight decay.

    The training API asks for `step` and `first_order_moments` all the same, and keeps the latter.
    """
    rate, step = _scalar("learning_rate", ir.DataType.FLOAT), _scalar("step", ir.DataType.INT64)
    params, gradients, moments = map(_sequence, ("params", "gradients", "first_order_moments"))
    nodes, clipped = _clipped(gradients, clip_norm)
    update = ir.node(
        "SGDOptimizerV2", [rate, params, clipped], domain=MICROSOFT, name="update", outputs=[_done()]
    )
    return _model([rate, step, params, gradients, moments], [*nodes, update])


def _clipped(gradients: ir.Value, clip_norm: float | None) -> tuple[list[ir.Node], ir.Value]:
    if clip_norm is None:
        return [], gradients
    clip = ir.node(
        "InplaceClipGradNorm",
        [gradients],
        {"max_norm": float(clip_norm)},
        domain=MICROSOFT,
        name="clip",
        outputs=[_sequence("clipped")],
    )
    return [clip], clip.outputs[0]


def _scalar(name: str, dtype: ir.DataType) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape([1]))


def _sequence(name: str) -> ir.Value:
    return ir.Value(name=name, type=ir.SequenceType(ir.TensorType(ir.DataType.FLOAT)))


def _done() -> ir.Value:
    return _scalar("updated", ir.DataType.BOOL)


def _model(inputs: list[ir.Value], nodes: list[ir.Node]) -> ir.Model:
    graph = ir.Graph(
        inputs, nodes[-1].outputs, nodes=nodes, opset_imports={"": OPSET, MICROSOFT: 1}, name="optimizer"
    )
    return ir.Model(graph, ir_version=IR_VERSION, producer_name="lowpeak")
