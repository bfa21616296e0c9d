#!/bin/sh
# Packages: @huggingface/jinja 0.5.11 (npm), jinja2 3.1.6
# One would guess: Hugging Face's Jinja for browsers, made for their chat templates, prints values as
# Jinja2 does: True, None, and a mapping with single quotes.
# What it does: it prints JSON, none as nothing, and 1.0 as 1. A template that prints a tool's
# parameters or a switch without tojson gives the model another prompt than it was trained on.
# Seen:
#   jinja2             True|None|1.0|{'type': 'object', 'strict': True}
#   @huggingface/jinja true||1|{"type": "object", "strict": true}
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3.11 -m pip install -q --no-compile --target lib 'jinja2==3.1.6'
npm install --silent --no-fund --no-audit '@huggingface/jinja@0.5.11'
PYTHONPATH=lib python3.11 - <<'EOF'
import json
import subprocess

import jinja2

template = "{{ think }}|{{ name }}|{{ version }}|{{ parameters }}"
values = {
    "think": True,
    "name": None,
    "version": 1.0,
    "parameters": {"type": "object", "strict": True},
}
script = f"""
import {{ Template }} from "@huggingface/jinja";
process.stdout.write(new Template({json.dumps(template)}).render({json.dumps(values)}));
"""
command = ["node", "--input-type=module", "--eval", script]
seen = subprocess.run(command, check=True, capture_output=True, text=True).stdout
expected = jinja2.Environment().from_string(template).render(**values)
print("jinja2            ", expected)
print("@huggingface/jinja", seen)
assert expected == "True|None|1.0|{'type': 'object', 'strict': True}"
assert seen == 'true||1|{"type": "object", "strict": true}'
EOF
