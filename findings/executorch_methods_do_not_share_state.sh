#!/bin/sh
# Package: executorch 1.5.1, torch 2.13.0
# One would guess: two methods of one program that were exported from one module see the same
# buffer.
# What it does: each method has a copy of its own. What "train" has written, "evaluate" never
# sees, and nothing says so.
# Seen:
#   after three steps [1.0, 2.0, 3.0] evaluation sees 0.0
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


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.zeros(1))

    def train_step(self, x):
        self.weight.add_(x)
        return self.weight.clone()

    def evaluate(self, x):
        return self.weight * x


class Calls(torch.nn.Module):
    def __init__(self, model, name):
        super().__init__()
        self.model, self.name = model, name

    def forward(self, x):
        return getattr(self.model, self.name)(x)


model, one = Model(), (torch.ones(1),)
methods = {name: export(Calls(model, name), one) for name in ("train_step", "evaluate")}
program = to_edge(methods).to_executorch().buffer
runtime = load(program)
trained = [runtime.run_method("train_step", one)[0].item() for _ in range(3)]
evaluated = runtime.run_method("evaluate", one)[0].item()
print("after three steps", trained, "evaluation sees", evaluated)
assert trained == [1.0, 2.0, 3.0] and evaluated == 0.0
EOF
