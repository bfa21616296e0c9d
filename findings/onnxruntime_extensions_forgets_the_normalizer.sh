#!/bin/sh
# Packages: onnxruntime-extensions 0.15.2, tokenizers 0.23.3
# One would guess: a normalizer in tokenizer.json, NFC in those of Qwen 2 and 3, is applied by ONNX
# Runtime's generation library, or its file is refused.
# What it does: the file loads and the text stays as it is. What was typed with a combining accent,
# as macOS and some keyboards give it, gets other ids than in training.
# Seen:
#   tokenizers             ['Ã', '©']
#   onnxruntime-extensions ['e', 'Ì', 'ģ']
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
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

vocabulary = sorted(pre_tokenizers.ByteLevel.alphabet())
theirs = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, []))
theirs.normalizer = normalizers.NFC()
theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
theirs.save("tokenizer.json")
Path("tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
other = pp_api.Tokenizer(".")
decomposed = "e\u0301"
expected = theirs.encode(decomposed).tokens
seen = [vocabulary[int(i)] for i in other.tokenize(decomposed)]
print("tokenizers            ", expected)
print("onnxruntime-extensions", seen)
assert expected == theirs.encode("\u00e9").tokens and len(expected) == 2
assert seen[0] == "e" and len(seen) == 3
EOF
