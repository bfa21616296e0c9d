"""Records as examples: special tokens that a text brings itself, errors among many, and how fast."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.encode import NO_LOSS, Example, encode, encode_many
from tests.runtime_py.chat import templates
from tests.runtime_py.chat.test_answers import CHAT, learned, tokenizer
from tests.runtime_py.tokenizer_kinds import BOS, EOS, kind


def adding(template: str) -> PreTrainedTokenizerFast:
    """A tokenizer that puts special tokens around each text, as `template` says."""
    backend = Tokenizer.from_str(kind("byte BPE").tokenizer.backend_tokenizer.to_str())
    special = [token for token in template.split() if token != "$A"]
    backend.post_processor = processors.TemplateProcessing(
        single=template,
        special_tokens=[(token, backend.token_to_id(token)) for token in dict.fromkeys(special)],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend, bos_token=BOS, eos_token=EOS
    )


@pytest.mark.parametrize(
    ("template", "prompt", "completion", "text", "answer"),
    [
        ("<s> $A", "Answer:", " yes", "<s>Answer: yes</s>", " yes</s>"),
        ("<s> $A", "<s>Answer:", " yes", "<s>Answer: yes</s>", " yes</s>"),
        ("<s> $A </s>", "<s>Answer:", " yes</s>", "<s>Answer: yes</s>", " yes</s>"),
        ("<s> $A </s>", "Answer:", " yes", "<s>Answer: yes</s>", " yes</s>"),
        ("<s> $A", "<s><s>Answer:", " yes", "<s><s>Answer: yes</s>", " yes</s>"),
        ("[gMASK] <sop> $A", "[gMASK]<sop>Answer:", " yes", "[gMASK]<sop>Answer: yes</s>", " yes</s>"),
        ("[gMASK] <sop> $A", "Answer:", " yes", "[gMASK]<sop>Answer: yes</s>", " yes</s>"),
        ("$A </s>", "Answer:</s>", "yes", "Answer:</s>yes</s>", "yes</s>"),
        ("<s> $A", "", "<s>yes", "<s>yes</s>", None),
        ("$A", "Answer:", " yes</s>", "Answer: yes</s>", " yes</s>"),
    ],
)
def test_special_tokens_that_the_text_brings_are_there_once(
    template: str, prompt: str, completion: str, text: str, answer: str | None
) -> None:
    fast = adding(template)
    example = encode({"prompt": prompt, "completion": completion}, fast)
    assert fast.decode(list(example.input_ids)) == text
    if answer is not None:
        assert learned(example) == [answer]
    if not prompt:
        assert encode({"text": completion}, fast) == example


def test_a_chat_has_the_special_tokens_of_its_template_only() -> None:
    fast = adding("<s> $A </s>")
    for chat_template in (templates.CHATML, templates.LLAMA3):
        fast.chat_template = chat_template
        example = encode({"messages": CHAT}, fast)
        assert example.input_ids == tuple(fast.apply_chat_template(CHAT, return_dict=False))


def test_the_tokenizers_own_end_is_learned_where_there_is_no_eos() -> None:
    fast = adding("<s> $A <|end|>")
    fast.eos_token = None
    example = encode({"prompt": "Answer:", "completion": " yes"}, fast)
    assert learned(example) == [" yes<|end|>"]


def test_an_empty_completion_has_no_label() -> None:
    for template in ("$A", "<s> $A </s>"):
        example = encode({"prompt": "Answer:", "completion": ""}, adding(template))
        assert set(example.labels) == {NO_LOSS}


def test_an_error_stands_in_the_place_of_its_record() -> None:
    fast = tokenizer(templates.CHATML)
    records: list[dict[str, Any]] = [
        {"text": "a"},
        {"text": 5},
        {"messages": CHAT},
        {"messages": [{"role": "user", "content": "a"}]},
        {"prompt": "a", "completion": "b", "tools": [{}]},
        {"messages": CHAT[:2]},
    ]
    outcomes = encode_many(records, fast)
    assert [type(outcome) for outcome in outcomes] == [
        Example,
        DataError,
        Example,
        DataError,
        DataError,
        Example,
    ]
    for record, outcome in zip(records, outcomes, strict=True):
        if isinstance(outcome, Example):
            assert outcome == encode(record, fast)
        else:
            with pytest.raises(DataError) as caught:
                encode(record, fast)
            assert str(caught.value) == str(outcome)
    assert encode_many([], fast) == []


def test_a_text_that_the_tokenizer_has_no_tokens_for() -> None:
    words = Tokenizer(models.WordLevel({"a": 0, "</s>": 1}, unk_token="nothing"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=words, eos_token=EOS)  # type: ignore[no-untyped-call]
    first, second, third = encode_many([{"text": "a a"}, {"text": "a b"}, {"text": "a"}], fast)
    assert (first, third) == (Example((0, 0, 1), (0, 0, 1)), Example((0, 1), (0, 1)))
    assert isinstance(second, DataError)
    assert "the tokenizer cannot encode it" in str(second)


def test_settings_of_the_tokenizer_do_not_cut_or_pad() -> None:
    fast = adding("$A")
    expected = encode_many([{"text": "a"}, {"text": "the train leaves at 7:42"}], fast)
    fast.backend_tokenizer.enable_truncation(2)
    fast.backend_tokenizer.enable_padding(length=50)
    assert encode_many([{"text": "a"}, {"text": "the train leaves at 7:42"}], fast) == expected


def test_several_chat_templates() -> None:
    fast = tokenizer(templates.CHATML)
    fast.chat_template = {"default": templates.CHATML, "tool_use": templates.QWEN2_5}
    assert learned(encode({"messages": CHAT}, fast)) == ["At 7:42 🌿<|im_end|>", "a<|im_end|>"]
    tools = [{"type": "function", "function": {"name": "look"}}]
    example = encode({"messages": CHAT, "tools": tools}, fast)
    assert "# Tools" in fast.decode(list(example.input_ids))
    fast.chat_template = {"one": templates.CHATML, "other": templates.LLAMA3}
    with pytest.raises(DataError, match=r"no default chat template: .*'one', 'other'"):
        encode({"messages": CHAT}, fast)


def test_another_template_of_the_same_tokenizer() -> None:
    fast = tokenizer(templates.CHATML)
    first = encode({"messages": CHAT}, fast)
    fast.chat_template = templates.LLAMA3
    assert learned(encode({"messages": CHAT}, fast))[1] == "a<|eot_id|>"
    fast.chat_template = templates.CHATML
    assert encode({"messages": CHAT}, fast) == first


def test_warnings_stay_with_what_is_cut() -> None:
    assert Example((1, 2, 3), (1, 2, 3), ("so",)).truncated(2) == Example((1, 2), (1, 2), ("so",))


SPEED = """
import json, sys, time
from transformers import AutoTokenizer
from lowpeak_runtime.data.encode import encode_many
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
records = [json.loads(line) for line in open(sys.argv[2])] * 30
texts = [tokenizer.apply_chat_template(record["messages"], tokenize=False) for record in records]
chunks = [slice(start, start + 256) for start in range(0, len(records), 256)]
raw = encoded = float("inf")
for _ in range(5):
    start = time.process_time()
    for chunk in chunks:
        [one.ids for one in tokenizer.backend_tokenizer.encode_batch(texts[chunk], add_special_tokens=False)]
    between = time.process_time()
    for chunk in chunks:
        encode_many(records[chunk], tokenizer)
    raw, encoded = min(raw, between - start), min(encoded, time.process_time() - between)
print(json.dumps(raw / encoded))
"""


@pytest.fixture(scope="module")
def demo_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2's, as the demo model's file has it."""
    from transformers import AutoTokenizer

    from lowpeak.demo_model import fetch_demo_model

    file = fetch_demo_model()
    folder = tmp_path_factory.mktemp("tokenizer")
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_encoding_chats_takes_little_longer_than_their_tokens(demo_tokenizer: Path) -> None:
    """At least 0.7 of the speed of the tokenizers package, on one core and in processor time."""
    chats = str(files("lowpeak") / "demo_chat.jsonl")
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    output = subprocess.run(
        [sys.executable, "-c", SPEED, str(demo_tokenizer), chats],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert json.loads(output) >= 0.7


@pytest.mark.slow
def test_the_demo_models_tokenizer(demo_tokenizer: Path) -> None:
    from transformers import AutoTokenizer

    fast = AutoTokenizer.from_pretrained(demo_tokenizer)
    for prompt, completion in (
        ("Is this spam? Answer: ", "yes"),
        ("Answer:", " yes"),
        ("Answer:\n", "🌿 日本"),
    ):
        example = encode({"prompt": prompt, "completion": completion}, fast)
        labels = [label for label in example.labels if label != NO_LOSS]
        assert fast.decode(labels).strip() == f"{completion}{fast.eos_token}".strip()
    for line in (files("lowpeak") / "demo_chat.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        example = encode(record, fast)
        assert example.input_ids == tuple(fast.apply_chat_template(record["messages"], return_dict=False))
        labels = [label for label in example.labels if label != NO_LOSS]
        said = [message["content"] for message in record["messages"] if message["role"] == "assistant"]
        assert fast.decode(labels) == "".join(f"{content}<|im_end|>" for content in said)
