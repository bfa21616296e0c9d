#!/bin/sh
# Package: peft 0.21.2, transformers 5.24.0, torch 2.13.0
# One would guess: modules_to_save=["norm"] trains and saves the module of that name, as
# target_modules does: it wants a whole name.
# What it does: it takes every module whose name ends in these letters: in a Llama each layer's
# input_layernorm and post_attention_layernorm too. target_modules=["proj"] on the other hand
# matches nothing.
# Seen:
#   ['layers.0.input_layernorm', 'layers.0.post_attention_layernorm', 'layers.1.input_layernorm', 'layers.1.post_attention_layernorm', 'norm']
#   NoMatchingPeftModuleError Target modules {'proj'} not found in the base
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'transformers==5.24.0' \
  'peft==0.21.2'
PYTHONPATH=lib python3.11 - <<'EOF'
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, logging

logging.set_verbosity_error()
config = LlamaConfig(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, vocab_size=50
)
adapter = LoraConfig(target_modules=["q_proj"], modules_to_save=["norm"])
model = get_peft_model(LlamaForCausalLM(config), adapter)
whole = [
    name.split(".modules_to_save")[0][len("base_model.model.model.") :]
    for name, parameter in model.named_parameters()
    if parameter.requires_grad and "lora" not in name
]
print(whole)
assert "norm" in whole and "layers.1.input_layernorm" in whole and len(whole) == 5
try:
    get_peft_model(LlamaForCausalLM(config), LoraConfig(target_modules=["proj"]))
    matched = True
except ValueError as error:
    matched = False
    print(type(error).__name__, str(error)[:45])
assert not matched
EOF
