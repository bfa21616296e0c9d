#!/bin/sh
# Packages: onnxruntime-extensions 0.15.2, jinja2 3.1.6
# One would guess: the filter "trim", with which chat templates clean what users typed, takes every
# white space from both ends, and "length" counts characters.
# What it does: only ASCII white space is trimmed, so the wide blank of Chinese and Japanese
# keyboards stays, and the length is that in bytes: a template that cuts or compares by length takes
# another branch for all but English.
# Seen:
#   jinja2                 '日本' 2
#   onnxruntime-extensions '\u3000日本\u3000' 6
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


messages = [{"role": "user", "content": "\u3000日本\u3000"}]
content = "{{ messages[0].content|trim }}"
length = "{{ '日本'|length }}"
environment = jinja2.Environment()
expected = [environment.from_string(each).render(messages=messages) for each in (content, length)]
seen = [rendered(each, messages) for each in (content, length)]
print("jinja2                ", repr(expected[0]), expected[1])
print("onnxruntime-extensions", repr(seen[0]), seen[1])
assert expected == ["日本", "2"]
assert seen == ["\u3000日本\u3000", "6"]
EOF
