"""The `lowpeak::` operators of the graph: what each means, as a plain torch reference. One subject a file.

Each has a CPU reference (the simulator runs it), a shape rule and, where autograd meets it, a gradient
formula that is again an operator; beside it stands its record (ops/record.py). A target either has a kernel
for an operator or it is lowered to core ATen (passes/lower/), or no pass makes it.
"""

from __future__ import annotations

from lowpeak_artifact.ops import (  # noqa: F401
    aten,
    attention,
    cache,
    loss,
    matmul,
    norm,
    offload,
    quantized,
    rotary,
    rows,
    swiglu,
)
