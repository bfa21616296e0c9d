#!/bin/sh
# Package: tokenizers 0.23.3
# One would guess: a token added to a vocabulary whose ids have a gap gets an id that no other
# token has.
# What it does: new ids count on from the number of entries, not from the largest id. Beyond the
# gap they meet ids in use: two tokens then share one id, and one row of the embedding.
# Seen:
#   added 2 {'a': 0, 'b': 3, 'c': 2, 'd': 3}
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'tokenizers==0.23.3'
PYTHONPATH=lib python3.11 - <<'EOF'
from tokenizers import Tokenizer, models

tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 3}, unk_token="a"))
added = tokenizer.add_tokens(["c", "d"])
ids = {token: tokenizer.token_to_id(token) for token in "abcd"}
print("added", added, ids)
assert added == 2 and ids == {"a": 0, "b": 3, "c": 2, "d": 3}
EOF
