#!/bin/sh
# Package: tokenizers 0.23.3
# One would guess: a character that a BPE has no entry for, and no unknown token, is an error, as
# it is with WordLevel.
# What it does: it is left out in silence: "abcab" is encoded as "ab" and "ab"; the offsets of all
# that follows are too small by one, so the second token is said to be "ca".
# Seen:
#   BPE ['ab', 'ab'] [(0, 2), (2, 4)] ['ab', 'ca']
#   WordLevel WordLevel error: Missing [UNK] token from the vocabulary
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'tokenizers==0.23.3'
PYTHONPATH=lib python3.11 - <<'EOF'
from tokenizers import Tokenizer, models

text = "abcab"
encoding = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")])).encode(text)
print("BPE", encoding.tokens, encoding.offsets, [text[start:end] for start, end in encoding.offsets])
assert encoding.tokens == ["ab", "ab"] and encoding.offsets == [(0, 2), (2, 4)]
try:
    outcome = Tokenizer(models.WordLevel({"a": 0})).encode("c").tokens
except Exception as error:
    outcome = str(error)
print("WordLevel", outcome)
assert "Missing [UNK]" in outcome
EOF
