#!/bin/sh
# Package: torch 2.13.0
# One would guess: torch.export of a training step keeps the backward of an autograd.Function and
# the hooks on tensors, or refuses them.
# What it does: it keeps what the forward computes and drops both without a word. Differentiated
# after export, rounding with a straight-through gradient has the gradient 0, and a hook that
# multiplies by 3 is not there.
# Seen:
#   straight-through: eager 1.0, exported 0.0
#   hook: eager 6.0, exported 2.0
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import torch


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


class StraightThrough(torch.nn.Module):
    def forward(self, x):
        return Rounded.apply(x).sum()


class Hook(torch.nn.Module):
    def forward(self, x):
        doubled = x * 2
        if doubled.requires_grad:
            doubled.register_hook(lambda grad: grad * 3)
        return doubled.sum()


def gradient(run):
    x = torch.full((1,), 0.3, requires_grad=True)
    run(x).backward()
    return x.grad.item()


for name, model, expected in (("straight-through", StraightThrough(), (1.0, 0.0)), ("hook", Hook(), (6.0, 2.0))):
    example = torch.full((1,), 0.3, requires_grad=True)
    exported = torch.export.export(model, (example,), strict=False).module()
    seen = gradient(model), gradient(exported)
    print(f"{name}: eager {seen[0]}, exported {seen[1]}")
    assert seen == expected
EOF
