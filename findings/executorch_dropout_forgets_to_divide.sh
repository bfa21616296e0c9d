#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: dropout at p = 0.75 multiplies what it keeps by 4, as in PyTorch, so that the
# mean stays.
# What it does: the kernel of native_dropout keeps the values as they are: the mean of ones is
# 0.25. PyTorch's gradient does multiply by 4, so a training step that is exported whole has a
# forward and a gradient that do not belong together.
# Seen:
#   kept values: ExecuTorch 1.0 PyTorch 4.0
#   PyTorch's gradient of kept values: 4.0
#   about a quarter is kept: True
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


class Dropout(torch.nn.Module):
    def forward(self, x):
        return torch.native_dropout(x, 0.75, True)[0]


ones = torch.ones(1000)
program = to_edge(export(Dropout(), (ones,))).to_executorch().buffer
device, eager = load(program).forward((ones,))[0].clone(), Dropout()(ones)
print("kept values: ExecuTorch", device.max().item(), "PyTorch", eager.max().item())
example = torch.ones(1000, requires_grad=True)
Dropout()(example).sum().backward()
print("PyTorch's gradient of kept values:", example.grad.max().item())
print("about a quarter is kept:", abs((device > 0).float().mean().item() - 0.25) < 0.1)
assert device.max().item() == 1.0 and eager.max().item() == example.grad.max().item() == 4.0
EOF
