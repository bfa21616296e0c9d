"""One record of training data -> token ids and labels: which tokens the loss is taken on.

Messages go through the tokenizer's chat template, loss on the assistant turns; a completion has loss and its
prompt has not; text has loss on everything.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from compiler.errors import DataError

NO_LOSS = -100

_KINDS = ({"messages"}, {"prompt", "completion"}, {"text"})
# They change what the model would read, so that leaving them out would train on something else.
_UNSUPPORTED = ("tools", "images", "image", "chosen", "rejected", "chat_template_kwargs")
# Stands in a template for a message's content; no tokenizer sees it.
_PLACEHOLDER = "\ue000content\ue001"

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Example:
    """One line of the data: equally many ids and labels."""

    input_ids: tuple[int, ...]

    labels: tuple[int, ...]
    """`input_ids` where the loss is taken, -100 elsewhere; not shifted."""

    @property
    def trainable_tokens(self) -> int:
        """Tokens that the loss is taken on; the first token has no prediction."""
        return sum(label != NO_LOSS for label in self.labels[1:])

    def truncated(self, seq_len: int) -> Example:
        """Its first `seq_len` tokens."""
        return Example(self.input_ids[:seq_len], self.labels[:seq_len])


def kind_of(record: Mapping[str, Any]) -> str:
    """What all lines of a file must have in common, in words. Raises DataError for an unknown combination."""
    for key in _UNSUPPORTED:
        if key in record:
            raise DataError(f'has "{key}", which is not supported')
    keys = set().union(*_KINDS) & record.keys()
    if keys not in _KINDS:
        found = " and ".join(f'"{key}"' for key in sorted(record)) or "nothing"
        raise DataError(f'has {found}; it needs "messages", or "prompt" and "completion", or "text"')
    if keys != {"prompt", "completion"}:
        return f'"{keys.pop()}"'
    types = {isinstance(record[key], str) for key in keys}
    if len(types) > 1:
        raise DataError("has text and messages: prompt and completion must be of the same type")
    return f'"prompt" and "completion" as {"text" if types.pop() else "messages"}'


def encode(record: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> Example:
    """The record, of a kind that `kind_of` knows, as an Example; `tokenizer` must be a fast one.

    Text ends with the tokenizer's EOS, if it has one; messages end as the chat template has it.
    Raises DataError for wrong types and for messages that the chat template refuses.
    """
    if "messages" in record:
        return _encode_chat(_messages(record, "messages"), 0, tokenizer)
    if "text" in record:
        return _encode_text("", _text(record, "text"), tokenizer)
    if isinstance(record["prompt"], str):
        return _encode_text(_text(record, "prompt"), _text(record, "completion"), tokenizer)
    prompt = _messages(record, "prompt")
    return _encode_chat(prompt + _messages(record, "completion"), len(prompt), tokenizer)


def encode_many(
    records: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase
) -> list[Example | DataError]:
    """Every record as by `encode`, in the same order; the error of a record that cannot be encoded stands in its
    place."""

    def outcome(record: Mapping[str, Any]) -> Example | DataError:
        try:
            return encode(record, tokenizer)
        except DataError as error:
            return error

    return [outcome(record) for record in records]


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record[key]
    if not isinstance(value, str):
        raise DataError(f'"{key}" must be a string, not {type(value).__name__}')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DataError(f'"{key}" has half a surrogate pair at character {error.start + 1}') from error
    return value


def _messages(record: Mapping[str, Any], key: str) -> list[Message]:
    value = record[key]
    if not isinstance(value, list) or not value:
        raise DataError(f'"{key}" must be a list of messages, not {json.dumps(value)[:40]}')
    for message in value:
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            raise DataError(f'every message in "{key}" must be an object with "role" and "content"')
        _text(message, "role")
        _text(message, "content")
    return value


def _encode_text(prompt: str, completion: str, tokenizer: PreTrainedTokenizerBase) -> Example:
    encoded = tokenizer(prompt + completion, return_offsets_mapping=True)
    ids, eos = list(encoded["input_ids"]), tokenizer.eos_token_id
    starts = [start for start, _ in encoded["offset_mapping"]]
    end = len(prompt) + len(completion)
    if completion and eos is not None:
        if ids[-1:] == [eos]:
            # An EOS that the tokenizer adds has no place in the text: its offsets are (0, 0).
            starts[-1] = end
        else:
            ids.append(eos)
            starts.append(end)
    return _example(ids, starts, [(len(prompt), end + 1)])


def _encode_chat(messages: list[Message], first: int, tokenizer: PreTrainedTokenizerBase) -> Example:
    """Loss on the assistant turns among `messages[first:]`."""
    if tokenizer.chat_template is None:
        raise DataError(
            "has messages, but the tokenizer has no chat template: use an instruction-tuned model, or text"
        )
    try:
        text = _render(messages, tokenizer)
        turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        spans = [_assistant_span(text, messages, turn, tokenizer) for turn in turns if turn >= first]
    except TemplateError as error:
        raise DataError(f"the tokenizer's chat template refuses the messages: {error}") from error
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return _example(encoded["input_ids"], [start for start, _ in encoded["offset_mapping"]], spans)


def _assistant_span(
    text: str, messages: list[Message], turn: int, tokenizer: PreTrainedTokenizerBase
) -> tuple[int, int]:
    """Characters [start, end) of `text`, the rendered messages, that the model says at `turn`.

    They begin where the prompt ends that is generated from the messages before, and end behind what the
    template closes a turn with, without the line break after it. A placeholder in place of the content
    shows what the template puts around it: it may trim the content, or render the last turn differently.
    """
    marked = [*messages[:turn], {**messages[turn], "content": _PLACEHOLDER}, *messages[turn + 1 :]]
    before, found, after = _render(marked, tokenizer).partition(_PLACEHOLDER)
    closing = _render(marked[: turn + 1], tokenizer).partition(_PLACEHOLDER)[2]
    if not found or not text.endswith(after):
        raise DataError(f"the chat template rewrites message {turn + 1}: give prompt and completion")
    end = len(text) - len(after) + _common_prefix(after, closing.rstrip() or closing)
    if turn:
        prompt = _render(messages[:turn], tokenizer, add_generation_prompt=True)
        if text.startswith(prompt):
            return len(prompt), end
    return _common_prefix(text, before), end


def _render(
    messages: list[Message], tokenizer: PreTrainedTokenizerBase, add_generation_prompt: bool = False
) -> str:
    text = tokenizer.apply_chat_template(
        [dict(message) for message in messages], tokenize=False, add_generation_prompt=add_generation_prompt
    )
    assert isinstance(text, str)
    return text


def _common_prefix(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _example(ids: Sequence[int], starts: Sequence[int], spans: Sequence[tuple[int, int]]) -> Example:
    """Loss on the tokens that start, in characters, within one of the spans."""
    return Example(
        tuple(ids),
        tuple(
            token if any(first <= start < end for first, end in spans) else NO_LOSS
            for token, start in zip(ids, starts, strict=True)
        ),
    )
