#!/bin/sh
# Packages: minijinja 3.1.0, jinja2 3.1.6
# One would guess: a chat template that lists tools reads a JSON schema's "items" (the type of an
# array's members) by schema.items, and is told "undefined" where a schema has none.
# What they do: Jinja2 looks for an attribute before a key. schema.items is there a method, always
# true, and printed with an address: the prompt differs from process to process. minijinja takes the
# key, and the method only where there is no such key: the two disagree about every array.
# Seen:
#   array   jinja2 of <built-in method items  minijinja of {'type': 'string'}
#   string  jinja2 of <built-in method items  minijinja of <built-in method items
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'minijinja==3.1.0' 'jinja2==3.1.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import jinja2
import minijinja

template = "{% if schema.items %}of {{ schema.items }}{% else %}nothing said{% endif %}"
schemas = {
    "array": {"type": "array", "items": {"type": "string"}},
    "string": {"type": "string"},
}
method = "of <built-in method items"
seen = {}
for name, schema in schemas.items():
    one = jinja2.Environment().from_string(template).render(schema=schema)
    other = minijinja.Environment().render_str(template, schema=schema)
    print(f"{name:7} jinja2 {one[: len(method)]}  minijinja {other[: len(method)]}")
    seen[name] = one, other
assert seen["array"][0].startswith(method) and seen["array"][1] == "of {'type': 'string'}"
assert all(text.startswith(method) for text in seen["string"])
EOF
