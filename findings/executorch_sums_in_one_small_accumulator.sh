#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: sums are as good as PyTorch's: half types add up in float32, long float32 sums
# in parts.
# What it does: in bfloat16 a linear layer with a bias adds up in bfloat16 itself, where 256 + 1
# is 256 (without a bias it adds up in float32); so does cumsum. And a float32 mean has one
# accumulator: that of 2**25 times 0.1 is 0.0625.
# Seen:
#   linear: ExecuTorch 1000, PyTorch 1000
#   linear with bias: ExecuTorch 256, PyTorch 1000
#   cumsum: ExecuTorch 256, PyTorch 1000
#   float32 mean: ExecuTorch 0.0625, PyTorch 0.1
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'executorch==1.5.1' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import torch
from executorch.exir import to_edge
from executorch.extension.pybindings.portable_lib import _load_for_executorch_from_buffer as load
from torch.export import export


def both(function, *inputs):
    class Module(torch.nn.Module):
        def forward(self, *values):
            return function(*values)

    program = to_edge(export(Module(), inputs)).to_executorch().buffer
    return load(program).forward(inputs)[0].flatten()[-1].item(), function(*inputs).flatten()[-1].item()


linear = torch.nn.functional.linear
ones, bias = torch.ones(1, 1000, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.bfloat16)
seen = {
    "linear": both(linear, ones, ones),
    "linear with bias": both(linear, ones, ones, bias),
    "cumsum": both(lambda x: x.cumsum(1), ones),
    "float32 mean": both(lambda x: x.mean(), torch.full((2**25,), 0.1)),
}
for name, pair in seen.items():
    print(f"{name}: ExecuTorch {pair[0]:.4g}, PyTorch {pair[1]:.4g}")
assert seen["linear"] == (1000.0, 1000.0)
assert seen["linear with bias"] == seen["cumsum"] == (256.0, 1000.0)
assert seen["float32 mean"][0] == 0.0625
EOF
