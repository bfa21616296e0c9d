#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: two inputs that share a Dim are refused when their lengths differ, as
# torch.export's module does.
# What it does: each is only held against the upper bound. A batch of 3 prompts with 5 labels runs
# and gives a number.
# Seen:
#   torch.export: Guard failed: y.size()[0] == x.size()[0]
#   ExecuTorch: 8.0
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
from torch.export import Dim


class Sums(torch.nn.Module):
    def forward(self, x, y):
        return x.sum(0) + y.sum(0)


batch = Dim("batch", max=8)
example = (torch.ones(4, 1), torch.ones(4, 1))
exported = export(Sums(), example, dynamic_shapes={"x": {0: batch}, "y": {0: batch}})
unequal = (torch.ones(3, 1), torch.ones(5, 1))
try:
    exported.module()(*unequal)
    refused = False
except AssertionError as error:
    refused = True
    print("torch.export:", error)
program = to_edge(exported).to_executorch().buffer
device = load(program).forward(unequal)[0].item()
print("ExecuTorch:", device)
assert refused and device == 8.0
EOF
