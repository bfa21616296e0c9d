#!/bin/sh
# Package: transformers 5.24.0, jinja2 3.1.6
# One would guess: apply_chat_template with continue_final_message gives the beginning of the same
# chat rendered without it.
# What it does: the template is given the last message with "CONTINUE_FINAL_MESSAGE_TAG " at its
# end. What the template computes from the content is of the longer text, and where it writes the
# content a second time the tag stays in the prompt.
# Seen:
#   length: '<user 6>Go on.<assistant 9>Once upon'
#           '<user 6>Go on.<assistant 36>Once upon'
#   twice: '<user>Go on.<assistant>Once upon[Once upon]'
#          '<user>Go on.<assistant>Once uponCONTINUE_FINAL_MESSAGE_TAG [Once upon'
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3.11 -m pip install -q --no-compile --target lib 'transformers==5.24.0' 'jinja2==3.1.6'
PYTHONPATH=lib python3.11 - <<'EOF'
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, "a")))
chat = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "Once upon"}]
templates = {
    "length": "{% for m in messages %}<{{ m.role }} {{ m.content | length }}>{{ m.content }}{% endfor %}",
    "twice": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}[{{ messages[-1].content }}]",
}
for name, template in templates.items():
    tokenizer.chat_template = template
    whole = tokenizer.apply_chat_template(chat, tokenize=False)
    begun = tokenizer.apply_chat_template(chat, tokenize=False, continue_final_message=True)
    print(f"{name}: {whole!r}\n{' ' * len(name)}  {begun!r}")
    assert not whole.startswith(begun)
assert "CONTINUE_FINAL_MESSAGE_TAG" in begun
EOF
