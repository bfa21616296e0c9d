"""Which keys of a record are used, which only describe it, and which are refused."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.encode import encode
from lowpeak_runtime.data.record import METADATA, chat_of, kind_of
from tests.runtime_py.chat import templates
from tests.runtime_py.chat.test_answers import CHAT, learned, tokenizer


@pytest.fixture
def chatml() -> PreTrainedTokenizerFast:
    return tokenizer(templates.CHATML)


@pytest.mark.parametrize(
    "key",
    [
        "functions",
        "images",
        "image",
        "videos",
        "chosen",
        "rejected",
        "weight",
        "train",
        "mask",
        "loss",
        "label",
    ],
)
def test_keys_that_would_change_the_training_are_refused(key: str) -> None:
    for record in ({"messages": CHAT}, {"text": "a"}, {"prompt": "a", "completion": "b"}):
        with pytest.raises(DataError, match=f'has "{key}", which is not supported: remove it, or put'):
            kind_of({**record, key: [1]})
        for nothing in (None, [], {}):
            assert kind_of({**record, key: nothing}) == kind_of(record)


def test_keys_that_describe_the_record_change_nothing(chatml: PreTrainedTokenizerFast) -> None:
    described = dict.fromkeys(METADATA, "x")
    assert encode({"messages": CHAT, **described}, chatml) == encode({"messages": CHAT}, chatml)
    messages = [{**message, **described} for message in CHAT]
    assert encode({"messages": messages}, chatml) == encode({"messages": CHAT}, chatml)
    assert encode({"text": "a", **described}, chatml) == encode({"text": "a"}, chatml)


@pytest.mark.parametrize("key", ["system", "tools", "chat_template_kwargs"])
def test_keys_of_chats_are_refused_elsewhere(key: str) -> None:
    for record in ({"text": "a"}, {"prompt": "a", "completion": "b"}):
        with pytest.raises(DataError, match=f'has "{key}", which is not supported'):
            kind_of({**record, key: "x"})


def test_system_is_the_first_message(chatml: PreTrainedTokenizerFast) -> None:
    system = {"role": "system", "content": "Be brief."}
    expected = encode({"messages": [system, *CHAT]}, chatml)
    assert encode({"messages": CHAT, "system": "Be brief."}, chatml) == expected
    parts = {"prompt": CHAT[:1], "completion": CHAT[1:]}
    assert encode({**parts, "system": "Be brief."}, chatml) == expected
    with pytest.raises(DataError, match='has "system" and a message with the role "system": keep one'):
        encode({"messages": [system, *CHAT], "system": "Be long."}, chatml)
    with pytest.raises(DataError, match='"system" must be a string, not an integer'):
        encode({"messages": CHAT, "system": 5}, chatml)


@pytest.mark.parametrize(
    ("key", "value"), [("weight", 0), ("weight", 0.0), ("train", False), ("loss", False)]
)
def test_answers_that_are_not_to_be_learned(key: str, value: Any, chatml: PreTrainedTokenizerFast) -> None:
    messages = [CHAT[0], {**CHAT[1], key: value}, {**CHAT[2], key: value}, {**CHAT[3], key: not value}]
    example = encode({"messages": messages}, chatml)
    assert learned(example) == ["a<|im_end|>"]
    assert example.input_ids == encode({"messages": CHAT}, chatml).input_ids
    assert learned(encode({"messages": messages[:2]}, chatml)) == []


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"weight": 0.5}, 'message 2 has "weight": 0.5, but only 0, 1, false and true are known'),
        ({"train": "no"}, 'message 2 has "train": "no", but only'),
        ({"mask": True}, 'message 2 has "mask", which is not supported: remove it'),
        ({"prefix": True}, 'message 2 has "prefix", which is not supported'),
        ({"train_detail": [{"begin_offset": 0}]}, 'message 2 has "train_detail", which is not supported'),
        ({"function_call": {"name": "look", "arguments": "{}"}}, 'leaves out "function_call" of message 2'),
        ({"name": "bob"}, 'leaves out "name" of message 2, whose role is "assistant"'),
        ({"content": None}, '"content" must be a string, not null'),
        ({"content": []}, "message 2 has a list of nothing"),
        ({"content": [{"type": "image"}]}, 'message 2 has a list of "image"'),
        ({"content": [{"type": "text", "text": "a"}] * 2}, 'message 2 has a list of "text" and "text"'),
        ({"content": [{"type": "text", "text": "a", "cache": 1}]}, 'content of message 2 has "cache"'),
        ({"content": [{"type": "text"}]}, '"text" must be a string, not null'),
        ({"role": "model"}, 'message 2 in "messages" has the role "model": expected are "system" and'),
        ({"role": "Assistant"}, 'message 2 in "messages" has the role "Assistant"'),
        ({"role": "gpt"}, 'message 2 in "messages" has the role "gpt"'),
        ({"role": 5}, '"role" must be a string, not an integer'),
    ],
)
def test_keys_of_messages_are_used_or_refused(
    message: dict[str, Any], error: str, chatml: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(DataError) as caught:
        encode({"messages": [CHAT[0], {**CHAT[1], **message}]}, chatml)
    assert error in str(caught.value)


def test_the_loss_is_of_the_assistant_only() -> None:
    with pytest.raises(
        DataError, match='message 1 has "train" and the role "user": the loss is of assistant'
    ):
        chat_of({"messages": [{**CHAT[0], "train": True}, CHAT[1]]})


def test_roles_are_named_where_there_is_no_answer() -> None:
    messages = [CHAT[0], {"role": "narrator", "content": "a"}, CHAT[2]]
    with pytest.raises(
        DataError, match='has the role "assistant", the roles are "user" and "narrator"; expected'
    ):
        chat_of({"messages": messages})
    with pytest.raises(
        DataError, match='the roles are "user"; expected are "system" and "developer" and "user"'
    ):
        chat_of({"prompt": CHAT[:2], "completion": CHAT[2:3]})


def test_content_as_a_part_of_text(chatml: PreTrainedTokenizerFast) -> None:
    parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in CHAT]
    assert encode({"messages": parts}, chatml) == encode({"messages": CHAT}, chatml)


def test_a_completion_is_learned_and_its_prompt_is_not() -> None:
    chat = chat_of({"prompt": CHAT[:2], "completion": CHAT[2:]})
    assert chat.trained == (False, False, False, True)
    assert chat.messages == tuple(CHAT)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"tools": "look"}, '"tools" must be a list of objects'),
        ({"tools": ["look"]}, '"tools" must be a list of objects'),
        ({"chat_template_kwargs": [1]}, '"chat_template_kwargs" must be an object'),
    ],
)
def test_malformed_keys_of_chats(keys: dict[str, Any], error: str) -> None:
    with pytest.raises(DataError, match=error):
        chat_of({"messages": CHAT, **keys})
