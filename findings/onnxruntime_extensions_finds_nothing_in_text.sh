#!/bin/sh
# Packages: onnxruntime-extensions 0.15.2, jinja2 3.1.6
# One would guess: in a chat template "x in text" tells whether x is a part of the text, as in
# Jinja2. Templates of models that think ask so for "</think>".
# What it does: apply_chat_template of ONNX Runtime's generation library looks in lists and mappings
# only. In a text nothing is found, so that thoughts of earlier turns stay in the prompt.
# Seen:
#   jinja2                 answer only
#   onnxruntime-extensions with thoughts
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib \
    'onnxruntime-extensions==0.15.2' 'jinja2==3.1.6' 'tokenizers==0.23.3' 'numpy==2.2.6'
PYTHONPATH=lib python3.11 - <<'EOF'
import json
from pathlib import Path

import jinja2
from onnxruntime_extensions import pp_api
from tokenizers import Tokenizer, models

Tokenizer(models.BPE({"a": 0}, [])).save("tokenizer.json")
Path("tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
engine = pp_api.Tokenizer(".")


def rendered(template, messages):
    chat = json.dumps(messages, ensure_ascii=False)
    return engine.apply_chat_template(chat, template, "", False, False)


template = (
    "{% if '</think>' in messages[0].content %}answer only{% else %}with thoughts{% endif %}"
)
messages = [{"role": "assistant", "content": "<think>hm</think>Yes."}]
expected = jinja2.Environment().from_string(template).render(messages=messages)
seen = rendered(template, messages)
print("jinja2                ", expected)
print("onnxruntime-extensions", seen)
assert expected == "answer only"
assert seen == "with thoughts"
EOF
