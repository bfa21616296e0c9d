#!/bin/sh
# Packages: kitoken 0.11.1, tokenizers 0.23.3
# One would guess: kitoken, which reads a tokenizer.json, gives the ids of tokenizers; the pattern
# of GPT-2's pre-tokenizer keeps every kind of white space apart from the signs behind it.
# What it does: with the pre-tokenizer ByteLevel it knows the ASCII blank only. A no-break space, as
# French has it before "!", goes into the piece of the sign behind it, and a merge of the two
# applies. With the same pattern as a regular expression (Llama 3) the ids agree.
# Seen:
#   U+0020 '!' tokenizers ['Ġ!'] kitoken ['Ġ!']
#   U+00A0 '!' tokenizers ['Â', 'ł', '!'] kitoken ['Â', 'ł!']
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'kitoken==0.11.1' 'tokenizers==0.23.3'
PYTHONPATH=lib python3.11 - <<'EOF'
import kitoken
from tokenizers import Tokenizer, models, pre_tokenizers

blank, lead, no_break = "\u0120", "\u00c2", "\u0142"  # how the bytes 20, C2 and A0 are written
vocabulary = ["!", blank, lead, no_break, blank + "!", no_break + "!"]
merges = [(blank, "!"), (no_break, "!")]
theirs = Tokenizer(models.BPE({piece: i for i, piece in enumerate(vocabulary)}, merges))
theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
theirs.save("tokenizer.json")
other = kitoken.Kitoken.from_file("tokenizer.json")
seen = {}
for space in (" ", "\u00a0"):
    expected = theirs.encode(space + "!").tokens
    seen[space] = [vocabulary[i] for i in other.encode(space + "!", True)]
    print(f"U+{ord(space):04X} '!' tokenizers {expected} kitoken {seen[space]}")
assert seen[" "] == [blank + "!"]
assert expected == [lead, no_break, "!"]
assert seen["\u00a0"] == [lead, no_break + "!"]
EOF
