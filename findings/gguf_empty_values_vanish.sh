#!/bin/sh
# Package: gguf 0.19.0, numpy 2.4.6
# One would guess: a key written with an empty string or an empty array is in the file, with that
# value.
# What it does: GGUFWriter.add_string and add_array return without a word when the value is empty.
# A chat template or a list of names that is meant to be empty cannot be told from one that nobody
# set.
# Seen:
#   ['demo.full_string']
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'gguf==0.19.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import gguf

writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_string("demo.empty_string", "")
writer.add_array("demo.empty_array", [])
writer.add_string("demo.full_string", "text")
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

keys = [name for name in gguf.GGUFReader("model.gguf").fields if name.startswith("demo.")]
print(keys)
assert keys == ["demo.full_string"]
EOF
