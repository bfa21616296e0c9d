#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: calling a method of two inputs with one of them is an error.
# What it does: the input that is missing is the one of the call before. A training loop that
# forgets to pass its labels learns the first batch's labels for all others.
# Seen:
#   5 - 1 = 4.0 ; 7 - (nothing) = 6.0
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


class Difference(torch.nn.Module):
    def forward(self, x, y):
        return x - y


def value(number):
    return torch.tensor([number])


program = to_edge(export(Difference(), (value(0.0), value(0.0)))).to_executorch().buffer
method = load(program)
first = method.forward((value(5.0), value(1.0)))[0].item()
second = method.forward((value(7.0),))[0].item()
print("5 - 1 =", first, "; 7 - (nothing) =", second)
assert (first, second) == (4.0, 6.0)
EOF
