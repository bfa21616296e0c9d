#!/bin/sh
# Packages: onnxruntime-extensions 0.15.2, tokenizers 0.23.3
# One would guess: the tokenizer of ONNX Runtime's generation library, which reads a Hugging Face
# tokenizer.json, carries out the pre-tokenizer that stands there: Digits(individual_digits=True),
# then ByteLevel, as SmolLM2 and StarCoder have it.
# What it does: of the sequence only ByteLevel counts. Digits stay in one piece, and blanks before a
# digit are split as before a word: the ids of indented numbers are others than those trained on.
# Seen:
#   '12'  tokenizers ['1', '2'] onnxruntime-extensions ['12']
#   '  7' tokenizers ['ĠĠ', '7'] onnxruntime-extensions ['Ġ', 'Ġ', '7']
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib \
    'onnxruntime-extensions==0.15.2' 'tokenizers==0.23.3' 'numpy==2.2.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import json
from pathlib import Path

from onnxruntime_extensions import pp_api
from tokenizers import Tokenizer, models, pre_tokenizers

blank = "\u0120"
vocabulary = ["1", "2", "7", blank, "12", blank * 2]
merges = [("1", "2"), (blank, blank)]
theirs = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, merges))
theirs.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)
theirs.save("tokenizer.json")
Path("tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
other = pp_api.Tokenizer(".")
seen = {}
for text in ("12", "  7"):
    expected = theirs.encode(text).tokens
    seen[text] = [vocabulary[int(i)] for i in other.tokenize(text)]
    print(f"{text!r:5} tokenizers {expected} onnxruntime-extensions {seen[text]}")
assert theirs.encode("12").tokens == ["1", "2"] and seen["12"] == ["12"]
assert theirs.encode("  7").tokens == [blank * 2, "7"] and seen["  7"] == [blank, blank, "7"]
EOF
