#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: a Python number beside a float16 tensor counts with float32 precision until the
# result is rounded.
# What it does: the number is first made a float16. x * 65536 is infinite for every x, where
# PyTorch gives 65.56 for 0.001.
# Seen:
#   ExecuTorch inf PyTorch 65.5625
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


class Scaled(torch.nn.Module):
    def forward(self, x):
        return x * 65536.0


small = (torch.tensor([1e-3], dtype=torch.float16),)
program = to_edge(export(Scaled(), small)).to_executorch().buffer
device, eager = load(program).forward(small)[0].item(), Scaled()(*small).item()
print("ExecuTorch", device, "PyTorch", eager)
assert device == float("inf") and abs(eager - 65.5625) < 0.1
EOF
