#!/bin/sh
# Package: sentencepiece 0.2.3
# One would guess: a text that opens with a user-defined symbol is that symbol's piece, and then
# the word as it stands in any other text.
# What it does: the dummy prefix comes before the symbol, as a piece of its own, and the word
# after it has none: another piece. Prompts that open with <tool> have one token more than they
# should, and decode() does not show it.
# Seen:
#   ['▁cat'] ['▁', '<tool>', 'cat'] '<tool>cat'
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'sentencepiece==0.2.3'
PYTHONPATH=lib python3.11 - <<'EOF'
import io
import random

import sentencepiece

random.seed(0)
words = "hello world cat sat mat train adapter memory budget phone".split()
lines = [" ".join(random.choices(words, k=8)) for _ in range(400)]
model = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(
    sentence_iterator=iter(lines), model_writer=model, vocab_size=100, model_type="bpe", minloglevel=2,
    hard_vocab_limit=False, user_defined_symbols=["<tool>"],
)
processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
plain, opened = (processor.encode(text, out_type=str) for text in ("cat", "<tool>cat"))
decoded = processor.decode(processor.encode("<tool>cat"))
print(plain, opened, repr(decoded))
assert opened[:2] == ["\u2581", "<tool>"] and opened[2:] != plain and decoded == "<tool>cat"
EOF
