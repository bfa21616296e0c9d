#!/bin/sh
# Package: torch 2.13.0
# One would guess: run_decompositions does not change the gradients of an exported program.
# What it does: it drops torch.no_grad and detach. Before it the exported module's gradient is
# eager's; after it, what was to be held constant is differentiated too, with the same loss.
# Seen:
#   (loss, gradient): {'eager': (3.0, 1.0), 'exported': (3.0, 1.0), 'decomposed': (3.0, 3.0)}
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, x):
        with torch.no_grad():
            constant = x * self.weight
        return constant + (x * self.weight).detach() + x * self.weight


def loss_and_gradient(module):
    loss = module(torch.ones(1)).sum()
    [weight] = module.parameters()
    weight.grad = None
    loss.backward()
    return loss.item(), weight.grad.item()


exported = torch.export.export(Model(), (torch.ones(1),))
seen = {
    "eager": loss_and_gradient(Model()),
    "exported": loss_and_gradient(exported.module()),
    "decomposed": loss_and_gradient(exported.run_decompositions().module()),
}
print("(loss, gradient):", seen)
assert seen["eager"] == seen["exported"] == (3.0, 1.0) and seen["decomposed"] == (3.0, 3.0)
EOF
