#!/bin/sh
# Package: peft 0.21.2, transformers 5.24.0, torch 2.13.0
# One would guess: add_weighted_adapter with combination_type="linear" and weights 0.5 and 0.5 is
# the mean of the two adapters' deltas.
# What it does: it blends the factors, A with A and B with B, each with the root of its weight.
# The product then has the cross terms B1 A2 and B2 A1 too: not near the mean. "cat" gives the
# mean, at twice the rank.
# Seen:
#   {'linear': 1.003, 'cat': 0.0}
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'transformers==5.24.0' \
  'peft==0.21.2'
PYTHONPATH=lib python3.11 - <<'EOF'
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, logging

logging.set_verbosity_error()
torch.manual_seed(0)
config = LlamaConfig(
    hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=50
)
adapter = LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
model = get_peft_model(LlamaForCausalLM(config), adapter, adapter_name="one")
model.add_adapter("two", adapter)
for kind in ("linear", "cat"):
    model.add_weighted_adapter(["one", "two"], [0.5, 0.5], kind, combination_type=kind)
layer = model.base_model.model.model.layers[0].self_attn.q_proj
mean = (layer.get_delta_weight("one") + layer.get_delta_weight("two")) / 2
deltas = {kind: layer.get_delta_weight(kind) for kind in ("linear", "cat")}
errors = {kind: ((delta - mean).norm() / mean.norm()).item() for kind, delta in deltas.items()}
print({kind: round(error, 3) for kind, error in errors.items()})
assert errors["linear"] > 0.3 and errors["cat"] < 1e-5
EOF
