#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: a buffer that the program changes (a step count, a cache) starts with the value
# it had when it was exported.
# What it does: its initial value is not written: it starts at zero. The counter that stands at 41
# in PyTorch gives 1, 2, 3 on the device.
# Seen:
#   (PyTorch, ExecuTorch): [(42.0, 1.0), (43.0, 2.0), (44.0, 3.0)]
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


class Counter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.tensor([41.0]))

    def forward(self, x):
        self.count.add_(1)
        return self.count + x


zero = (torch.zeros(1),)
exported = export(Counter(), zero)
program = to_edge(exported).to_executorch().buffer
method = load(program)
eager, device = exported.module(), []
for _ in range(3):
    device.append((eager(*zero).item(), method.forward(zero)[0].item()))
print("(PyTorch, ExecuTorch):", device)
assert device == [(42.0, 1.0), (43.0, 2.0), (44.0, 3.0)]
EOF
