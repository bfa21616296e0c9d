#!/bin/sh
# Package: tokenizers 0.23.3
# One would guess: the offsets of the tokens of a byte-level BPE cover the text; a token of one
# space covers one character.
# What it does: with the usual post-processor ByteLevel(trim_offsets=True) a token that is only
# space covers nothing: (4, 4). A rule "label the tokens that overlap the answer" leaves out
# indentation and blank lines. Without a post-processor it is (3, 4).
# Seen:
#   ['i', 'f', 'Ġ', 'Ġ', 'Ġ', 'Ġ', 'x']
#   no post-processor [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7)]
#   trim_offsets      [(0, 1), (1, 2), (3, 3), (4, 4), (5, 5), (6, 6), (6, 7)]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'tokenizers==0.23.3'
PYTHONPATH=lib python3.11 - <<'EOF'
from tokenizers import Tokenizer, models, pre_tokenizers, processors

space = "\u0120"
tokenizer = Tokenizer(models.BPE({space: 0, "i": 1, "f": 2, "x": 3}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
plain = tokenizer.encode("if    x")
tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
trimmed = tokenizer.encode("if    x")
print(plain.tokens)
print("no post-processor", plain.offsets)
print("trim_offsets     ", trimmed.offsets)
spaces = [offset for token, offset in zip(trimmed.tokens, trimmed.offsets) if token == space]
assert all(start == end for start, end in spaces)
assert plain.offsets[2] == (2, 3)
EOF
