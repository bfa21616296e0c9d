#!/bin/sh
# Package: transformers 5.24.0, torch 2.13.0
# One would guess: position_ids that start anew keep packed examples apart, or else do not; the
# key-value cache has no say in it.
# What it does: they are kept apart only with use_cache=False. By default, in train mode as well,
# the second example attends to the first, in silence.
# Seen:
#   second example against itself alone: default 0.118, use_cache=False 6e-08
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'transformers==5.24.0'
PYTHONPATH=lib python3.11 - <<'EOF'
import torch
from transformers import LlamaConfig, LlamaForCausalLM, logging

logging.set_verbosity_error()
torch.manual_seed(0)
config = LlamaConfig(
    hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=50
)
model = LlamaForCausalLM(config).train()
tokens, positions = torch.arange(6)[None], torch.tensor([[0, 1, 2, 0, 1, 2]])
alone = model(tokens[:, 3:]).logits


def distance(**options):
    packed = model(tokens, position_ids=positions, **options).logits[:, 3:]
    return (packed - alone).abs().max().item()


default, without_cache = distance(), distance(use_cache=False)
print(f"second example against itself alone: default {default:.3f}, use_cache=False {without_cache:.0e}")
assert default > 0.01 and without_cache < 1e-5
EOF
