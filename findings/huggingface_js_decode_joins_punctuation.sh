#!/bin/sh
# Packages: @huggingface/tokenizers 0.2.0 (npm), tokenizers 0.23.3
# One would guess: Hugging Face's tokenizer for browsers decodes to the text that was encoded, as
# their other one does for a byte-level BPE without further settings.
# What it does: where tokenizer_config.json does not say otherwise it cleans up: the blank before
# ! ? . , and before n't is taken away. French text and code come back changed.
# Seen:
#   tokenizers              'Oui ! a , b'
#   @huggingface/tokenizers 'Oui! a, b'
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3.11 -m pip install -q --no-compile --target lib 'tokenizers==0.23.3'
npm install --silent --no-fund --no-audit '@huggingface/tokenizers@0.2.0'
PYTHONPATH=lib python3.11 - <<'EOF'
import json
import subprocess

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

script = """
import { readFileSync } from "fs";
import { Tokenizer } from "@huggingface/tokenizers";
const tokenizer = new Tokenizer(JSON.parse(readFileSync("tokenizer.json", "utf8")), {});
const ids = tokenizer.encode("Oui ! a , b").ids;
console.log(JSON.stringify([ids, tokenizer.decode(ids)]));
"""
vocabulary = sorted(pre_tokenizers.ByteLevel.alphabet())
theirs = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, []))
theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
theirs.decoder = decoders.ByteLevel()
theirs.save("tokenizer.json")
command = ["node", "--input-type=module", "--eval", script]
ids, text = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
print("tokenizers             ", repr(theirs.decode(ids)))
print("@huggingface/tokenizers", repr(text))
assert ids == theirs.encode("Oui ! a , b").ids
assert theirs.decode(ids) == "Oui ! a , b"
assert text == "Oui! a, b"
EOF
