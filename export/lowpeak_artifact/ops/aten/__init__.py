"""The records of PyTorch's operators, by subject. A graph may hold others: those are no view, run in no
operand's place, are in no graph in tiles and have no mapping to ONNX.
"""

from __future__ import annotations

from lowpeak_artifact.ops.aten import (  # noqa: F401
    arithmetic,
    creation,
    forward,
    logic,
    movement,
    normalization,
    places,
    products,
    reductions,
)
