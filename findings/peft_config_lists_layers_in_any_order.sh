#!/bin/sh
# Package: peft 0.21.2, torch 2.13.0, transformers 5.24.0
# One would guess: a LoraConfig that is saved names its target modules as they were given, and the
# same program saves the same adapter_config.json each time.
# What it does: the names are kept in a set, and written in the order in which Python's hashes
# happen to stand in that process: two runs give two files, so a hash over the adapter's folder
# tells nothing.
# Seen, of the order q, k, v, o:
#   k_proj,v_proj,q_proj,o_proj
#   o_proj,k_proj,v_proj,q_proj
#   q_proj,v_proj,k_proj,o_proj
#   o_proj,q_proj,v_proj,k_proj
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'peft==0.21.2' 'torch==2.13.0' 'transformers==5.24.0' \
    'numpy==2.4.6'
cat > save.py <<'EOF'
import json
import sys

from peft import LoraConfig

LoraConfig(target_modules=["q_proj", "k_proj", "v_proj", "o_proj"]).save_pretrained(sys.argv[1])
print(",".join(json.load(open(f"{sys.argv[1]}/adapter_config.json"))["target_modules"]))
EOF
for seed in 1 2 3 4; do PYTHONHASHSEED=$seed PYTHONPATH=lib python3.11 save.py "adapter$seed" 2> log; done > orders
cat orders
test "$(sort -u orders | wc -l)" -gt 1
