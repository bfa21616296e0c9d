#!/bin/sh
# Packages: onnxruntime-extensions 0.15.2, tokenizers 0.23.3
# One would guess: a Python string with U+0000 in it is tokenized whole, as tokenizers does it, or
# refused.
# What it does: the string passes through a C string. All behind U+0000 is left out without a word.
# Such characters are in what PDF readers and scraped pages give.
# Seen:
#   tokenizers             ['a', 'Ā', 'b']
#   onnxruntime-extensions ['a']
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

vocabulary = sorted(pre_tokenizers.ByteLevel.alphabet())
theirs = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, []))
theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
theirs.save("tokenizer.json")
Path("tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
expected = theirs.encode("a\0b").tokens
seen = [vocabulary[int(i)] for i in pp_api.Tokenizer(".").tokenize("a\0b")]
print("tokenizers            ", expected)
print("onnxruntime-extensions", seen)
assert len(expected) == 3
assert seen == ["a"]
EOF
