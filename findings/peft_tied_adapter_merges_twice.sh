#!/bin/sh
# Package: peft 0.21.2, transformers 5.24.0, torch 2.13.0
# One would guess: merge_and_unload does not change what the model computes; least of all with
# ensure_weight_tying, made for this.
# What it does: with LoRA on the embedding and the head that is tied to it, each merges its delta
# into the one shared matrix: the merged model has it twice and another loss.
# Seen:
#   loss with the adapter 16.351, merged 32.182; the delta is in the matrix 2.00 times
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
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=2,
    vocab_size=50,
    tie_word_embeddings=True,
)
adapter = LoraConfig(r=4, target_modules=["embed_tokens", "lm_head"], ensure_weight_tying=True)
model = get_peft_model(LlamaForCausalLM(config), adapter)
embedding = model.base_model.model.model.embed_tokens
before = embedding.base_layer.weight.detach().clone()
for parameter in model.parameters():
    if parameter.requires_grad:
        torch.nn.init.normal_(parameter, std=0.3)
delta = embedding.get_delta_weight("default").detach()
tokens = torch.arange(8)[None]
active = model(input_ids=tokens, labels=tokens).loss.item()
merged = model.merge_and_unload()
loss = merged(input_ids=tokens, labels=tokens).loss.item()
times = ((merged.model.embed_tokens.weight - before) / delta).median().item()
print(f"loss with the adapter {active:.3f}, merged {loss:.3f}; the delta is in the matrix {times:.2f} times")
assert abs(times - 2) < 1e-3 and abs(active - loss) > 1
EOF
