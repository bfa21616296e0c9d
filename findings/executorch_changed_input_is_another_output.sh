#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: a program that changes its input in place changes the caller's tensor and
# returns what the module returns.
# What it does: the caller's tensor stays as it was, and the changed input comes first among the
# outputs. Code that takes outputs[0] for the result takes the input's new value.
# Seen:
#   PyTorch: input 1.0 returned 10.0
#   ExecuTorch: input 0.0 outputs [1.0, 10.0]
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


class InPlace(torch.nn.Module):
    def forward(self, x):
        x.add_(1)
        return x * 10


program = to_edge(export(InPlace(), (torch.zeros(1),))).to_executorch().buffer
given_to_torch, given_to_device = torch.zeros(1), torch.zeros(1)
returned = InPlace()(given_to_torch)
outputs = load(program).forward((given_to_device,))
print("PyTorch: input", given_to_torch.item(), "returned", returned.item())
print("ExecuTorch: input", given_to_device.item(), "outputs", [value.item() for value in outputs])
assert (given_to_torch.item(), returned.item()) == (1.0, 10.0)
assert given_to_device.item() == 0.0 and [value.item() for value in outputs] == [1.0, 10.0]
EOF
