#!/bin/sh
# Package: gguf 0.19.0, numpy 2.4.6
# One would guess: an array of arrays is read as it was written, or else refused.
# What it does: the writer stores it nested (the field's types are ARRAY, ARRAY, INT32), but
# ReaderField.contents gives one flat list. Where the inner lists end is lost, in silence.
# Seen:
#   ['ARRAY', 'ARRAY', 'INT32'] [1, 2, 3]
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'gguf==0.19.0' 'numpy==2.4.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import gguf

writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_key_value("demo.pairs", [[1], [2, 3]], gguf.GGUFValueType.ARRAY)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

field = gguf.GGUFReader("model.gguf").fields["demo.pairs"]
print([kind.name for kind in field.types], field.contents())
assert field.contents() == [1, 2, 3]
EOF
