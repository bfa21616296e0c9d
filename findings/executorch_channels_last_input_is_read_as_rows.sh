#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: an input in channels_last, for a program exported with a contiguous one, is
# either right or refused.
# What it does: its memory is taken as if it were contiguous: the result has the values in the
# wrong places. (Any other stride is refused: "should be contiguous or channels-last".)
# Seen:
#   contiguous     [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0]
#   channels_last  [0.0, 8.0, 2.0, 10.0, 4.0, 12.0, 6.0, 14.0]
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


class Double(torch.nn.Module):
    def forward(self, x):
        return x * 2


plain = torch.arange(8.0).reshape(1, 2, 2, 2)
program = to_edge(export(Double(), (plain,))).to_executorch().buffer
method = load(program)
channels_last = plain.to(memory_format=torch.channels_last)
right = method.forward((plain,))[0].flatten().tolist()
wrong = method.forward((channels_last,))[0].flatten().tolist()
print("contiguous    ", right)
print("channels_last ", wrong)
assert torch.equal(channels_last, plain)
assert right == [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0] and wrong != right
EOF
