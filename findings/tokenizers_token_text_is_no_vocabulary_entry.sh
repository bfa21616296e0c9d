#!/bin/sh
# Package: tokenizers 0.23.3
# One would guess: encoding.tokens holds entries of the vocabulary, so token_to_id finds each of
# them.
# What it does: for an added token that swallows the spaces around it (lstrip, rstrip) it
# holds the matched text with its spaces, which no vocabulary has.
# encoding.ids is right.
# Seen:
#   ['hi', '   <|user|>  ', 'hi'] ids [1, 2, 1] ids of the tokens [1, None, 1]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'tokenizers==0.23.3'
PYTHONPATH=lib python3.11 - <<'EOF'
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "hi": 1}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer.add_special_tokens([AddedToken("<|user|>", lstrip=True, rstrip=True)])
encoding = tokenizer.encode("hi   <|user|>  hi")
ids = [tokenizer.token_to_id(token) for token in encoding.tokens]
print(encoding.tokens, "ids", encoding.ids, "ids of the tokens", ids)
assert encoding.ids == [1, 2, 1] and ids == [1, None, 1]
EOF
