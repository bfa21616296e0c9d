#!/bin/sh
# Packages: onnxruntime-extensions 0.15.2, jinja2 3.1.6
# One would guess: apply_chat_template renders as transformers does, with trim_blocks and
# lstrip_blocks: a line that holds a block tag leaves no line behind. Templates with one tag a line
# count on it.
# What it does: the options are off. Each such line is an empty line in the prompt.
# Seen:
#   jinja2 as transformers has it 'user\nassistant\nend'
#   onnxruntime-extensions        '\nuser\n\nassistant\n\nend'
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


template = "{% for message in messages %}\n{{ message.role }}\n{% endfor %}\nend"
messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
expected = environment.from_string(template).render(messages=messages)
seen = rendered(template, messages)
print("jinja2 as transformers has it", repr(expected))
print("onnxruntime-extensions       ", repr(seen))
assert expected == "user\nassistant\nend"
assert seen == "\nuser\n\nassistant\n\nend"
EOF
