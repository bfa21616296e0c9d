#!/bin/sh
# Packages: minijinja 3.1.0, jinja2 3.1.6
# One would guess: minijinja, by which servers in Rust render the chat templates that were written
# for Jinja2, has the same tests of types: "sequence" is what has a length and can be indexed.
# What it does: text and mappings are sequences in Jinja2 and are none in minijinja. A template that
# asks "content is sequence" renders another prompt there, without an error.
# Seen:
#   {'content': 'Hi'}         jinja2 parts       minijinja text
#   {'content': {'a': 1}}     jinja2 parts       minijinja text
#   {'content': ['Hi']}       jinja2 parts       minijinja parts
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'minijinja==3.1.0' 'jinja2==3.1.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import jinja2
import minijinja

template = "{% if content is sequence %}parts{% else %}text{% endif %}"
seen = []
for content in ("Hi", {"a": 1}, ["Hi"]):
    one = jinja2.Environment().from_string(template).render(content=content)
    other = minijinja.Environment().render_str(template, content=content)
    print(f"{str({'content': content}):25} jinja2 {one:11} minijinja {other}")
    seen.append((one, other))
assert seen == [("parts", "text"), ("parts", "text"), ("parts", "parts")]
EOF
