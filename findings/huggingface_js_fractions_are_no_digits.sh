#!/bin/sh
# Packages: @huggingface/tokenizers 0.2.0 (npm), tokenizers 0.23.3
# One would guess: the pre-tokenizer Digits(individual_digits=True) takes the same characters apart
# in both of Hugging Face's tokenizers.
# What they do: the one in Rust takes every numeric character, fractions and superscripts too; the one
# in JavaScript the decimal digits only. SmolLM2 has this pre-tokenizer: recipes get other ids.
# Seen:
#   'a½' tokenizers ['a', 'Â', '½'] @huggingface/tokenizers ['aÂ', '½']
#   'a7' tokenizers ['a', '7'] @huggingface/tokenizers ['a', '7']
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3.11 -m pip install -q --no-compile --target lib 'tokenizers==0.23.3'
npm install --silent --no-fund --no-audit '@huggingface/tokenizers@0.2.0'
PYTHONPATH=lib python3.11 - <<'EOF'
import json
import subprocess

from tokenizers import Tokenizer, models, pre_tokenizers

script = """
import { readFileSync } from "fs";
import { Tokenizer } from "@huggingface/tokenizers";
const tokenizer = new Tokenizer(JSON.parse(readFileSync("tokenizer.json", "utf8")), {});
console.log(JSON.stringify(["a½", "a7"].map((text) => tokenizer.encode(text).tokens)));
"""
vocabulary = ["a", "7", "Â", "½", "aÂ", "a7"]
merges = [("a", "Â"), ("a", "7")]
theirs = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, merges))
theirs.pre_tokenizer = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)
theirs.save("tokenizer.json")
command = ["node", "--input-type=module", "--eval", script]
seen = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
expected = [theirs.encode(text).tokens for text in ("a½", "a7")]
for text, one, other in zip(("a½", "a7"), expected, seen):
    print(f"{text!r} tokenizers {one} @huggingface/tokenizers {other}")
assert expected == [["a", "Â", "½"], ["a", "7"]]
assert seen == [["aÂ", "½"], ["a", "7"]]
EOF
