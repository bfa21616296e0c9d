#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: aten.remainder of integers has the divisor's sign, as in Python and PyTorch,
# and agrees with floor division.
# What it does: the integer kernel is C's: -7 % 5 is -2. Floating-point remainder and integer
# floor division are PyTorch's, so (x // 5) * 5 + x % 5 is no longer x. A ring buffer's index goes
# below zero.
# Seen:
#   ExecuTorch [[-2, 2], [3.0, 2.0], [-2, 1]]
#   PyTorch    [[3, 2], [3.0, 2.0], [-2, 1]]
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


class Remainder(torch.nn.Module):
    def forward(self, x, y):
        return x % 5, y % 5.0, x // 5


inputs = (torch.tensor([-7, 7]), torch.tensor([-7.0, 7.0]))
program = to_edge(export(Remainder(), inputs)).to_executorch().buffer
device = [value.tolist() for value in load(program).forward(inputs)]
print("ExecuTorch", device)
print("PyTorch   ", [value.tolist() for value in Remainder()(*inputs)])
assert device == [[-2, 2], [3.0, 2.0], [-2, 1]]
EOF
