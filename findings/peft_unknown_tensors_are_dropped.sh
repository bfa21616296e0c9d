#!/bin/sh
# Package: peft 0.21.2, transformers 5.24.0, torch 2.13.0
# One would guess: PeftModel.from_pretrained warns of tensors in the adapter's file that have no
# place in the model; it warns of tensors that the file lacks.
# What it does: they are dropped without a warning. An adapter of q_proj and k_proj whose config
# names q_proj alone loses half of what was trained.
# Seen:
#   loss as trained 3.9130, as loaded 3.9042, warnings about keys: []
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'torch==2.13.0' 'transformers==5.24.0' \
  'peft==0.21.2'
PYTHONPATH=lib python3.11 - <<'EOF'
import json
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, logging

logging.set_verbosity_error()
config = LlamaConfig(
    hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, vocab_size=50
)


def base():
    torch.manual_seed(0)
    return LlamaForCausalLM(config)


adapter = LoraConfig(r=4, target_modules=["q_proj", "k_proj"], init_lora_weights=False)
model = get_peft_model(base(), adapter)
model.save_pretrained("adapter")
saved = json.load(open("adapter/adapter_config.json"))
saved["target_modules"] = ["q_proj"]
json.dump(saved, open("adapter/adapter_config.json", "w"))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    loaded = PeftModel.from_pretrained(base(), "adapter")
tokens = torch.arange(8)[None]
losses = [each.eval()(input_ids=tokens, labels=tokens).loss.item() for each in (model, loaded)]
about_keys = [str(warning.message) for warning in caught if "keys" in str(warning.message)]
print(f"loss as trained {losses[0]:.4f}, as loaded {losses[1]:.4f}, warnings about keys: {about_keys}")
assert abs(losses[0] - losses[1]) > 1e-3 and not about_keys
EOF
