#!/bin/sh
# Package: tokenizers 0.23.3
# One would guess: add_tokens returns by how many tokens the vocabulary has grown, and an entry
# that is already there stays as it was.
# What it does: it returns 1 for a token that the model has: embeddings resized by this number get
# rows that no token uses. From then on the word is cut out of every text before the model's own
# splitting: "cats" becomes "cat" and "s".
# Seen:
#   returned 1 grown by 0 ['cats'] -> ['cat', 's']
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'tokenizers==0.23.3'
PYTHONPATH=lib python3.11 - <<'EOF'
from tokenizers import Tokenizer, models, pre_tokenizers

tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "cat": 1, "cats": 2, "s": 3}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
size, before = tokenizer.get_vocab_size(), tokenizer.encode("cats").tokens
added = tokenizer.add_tokens(["cat"])
grown, after = tokenizer.get_vocab_size() - size, tokenizer.encode("cats").tokens
print("returned", added, "grown by", grown, before, "->", after)
assert (added, grown) == (1, 0) and before == ["cats"] and after == ["cat", "s"]
EOF
