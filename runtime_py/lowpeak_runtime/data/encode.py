"""One record of training data -> token ids and labels: which tokens the loss is taken on.

Messages go through the tokenizer's chat template, loss on the assistant turns; a completion has loss and its
prompt has not; text has loss on everything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.chat.answers import LEFT_OUT, NO_END, ChatTemplate, chat_template_of
from lowpeak_runtime.data.chat.turns import ADVICE
from lowpeak_runtime.data.dropped_characters import finder_of_dropped
from lowpeak_runtime.data.labels import NO_LOSS, added_tokens, labels_of, repeated
from lowpeak_runtime.data.record import Chat, chat_of, kind_of, text_of
from lowpeak_runtime.data.tokenizer_files import is_panic

DROPPED = "the tokenizer has no token for (a part of) {!r} and would leave it out: write the text without it"

__all__ = ["NO_LOSS", "Example", "encode", "encode_many", "kind_of"]


@dataclass(frozen=True)
class Example:
    """One line of the data: equally many ids and labels."""

    input_ids: tuple[int, ...]

    labels: tuple[int, ...]
    """`input_ids` where the loss is taken, -100 elsewhere; not shifted."""

    warnings: tuple[str, ...] = ()
    """What of the answers is not learned, in words: the same words for the same cause."""

    @property
    def trainable_tokens(self) -> int:
        """Tokens that the loss is taken on; the first token has no prediction."""
        return sum(label != NO_LOSS for label in self.labels[1:])

    def truncated(self, seq_len: int) -> Example:
        """Its first `seq_len` tokens."""
        return Example(self.input_ids[:seq_len], self.labels[:seq_len], self.warnings)


@dataclass(frozen=True)
class _Text:
    """A text to encode, with loss on the characters [start, end) of `spans`, which ascend."""

    text: str
    spans: tuple[tuple[int, int], ...]

    is_chat: bool
    """It holds all its special tokens, but for them the tokenizer adds its own and an EOS ends it."""

    warnings: tuple[str, ...] = ()


def encode(record: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase) -> Example:
    """The record as an Example; `tokenizer` must be a fast one.

    Text ends with the tokenizer's EOS, if it has one; messages end as the chat template has it.
    Raises DataError for what `kind_of` does not know, for wrong types, for messages that the chat template
    refuses or leaves out, and for answers none of which it shows as they are.
    """
    (example,) = encode_many([record], tokenizer)
    if isinstance(example, DataError):
        raise example
    return example


def encode_many(
    records: Sequence[Mapping[str, Any]], tokenizer: PreTrainedTokenizerBase
) -> list[Example | DataError]:
    """Every record as by `encode`, in the same order; the error of a record that cannot be encoded stands in
    its place."""
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    chat_template = cache(partial(chat_template_of, tokenizer))
    texts = [_text_or_error(record, chat_template) for record in records]
    encoded: dict[int, Encoding | DataError] = {}
    for is_chat in (False, True):
        chosen = {
            place: text.text
            for place, text in enumerate(texts)
            if isinstance(text, _Text) and text.is_chat == is_chat
        }
        encoded |= zip(chosen, _encodings(list(chosen.values()), is_chat, tokenizer), strict=True)
    return [
        outcome if isinstance(outcome, DataError) else _example(outcome, encoded[place], bos, eos)
        for place, outcome in enumerate(texts)
    ]


def _text_or_error(
    record: Mapping[str, Any], chat_template: Callable[[bool], ChatTemplate]
) -> _Text | DataError:
    try:
        kind_of(record)
        if "text" in record:
            return _Text(text := text_of(record, "text"), ((0, len(text)),), False)
        if isinstance(record.get("prompt"), str):
            prompt, completion = text_of(record, "prompt"), text_of(record, "completion")
            return _Text(prompt + completion, ((len(prompt), len(prompt) + len(completion)),), False)
        chat = chat_of(record)
        return _chat_text(chat, chat_template(chat.tools is not None))
    except DataError as error:
        return error


def _chat_text(chat: Chat, chat_template: ChatTemplate) -> _Text:
    text, turns = chat_template.turns(chat)
    asked = [turn for turn in turns if chat.trained[turn.message]]
    trained = [turn for turn in asked if turn.missing is None]
    if asked and not trained:
        raise DataError(
            f'the chat template leaves out or rewrites part of "{asked[0].missing}" of message '
            f"{asked[0].message + 1}, so the answer cannot be learned: {ADVICE}"
        )
    last = {turn.message: turn for turn in trained}
    warnings = [LEFT_OUT] * (len(trained) < len(asked)) + [NO_END] * any(
        not turn.ended for turn in last.values()
    )
    return _Text(text, tuple((turn.start, turn.end) for turn in trained), True, tuple(warnings))


def _encodings(
    texts: list[str], is_chat: bool, tokenizer: PreTrainedTokenizerBase
) -> list[Encoding | DataError]:
    """The texts as tokens; DataError for one that the tokenizer has no tokens for."""
    if not texts:
        return []
    try:
        batch = tokenizer(
            texts,
            add_special_tokens=not is_chat,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
    except BaseException as error:
        # What the tokenizers package raises has no class of its own, and is no Exception where it gave up.
        if not isinstance(error, Exception) and not is_panic(error):
            raise
        if len(texts) == 1:
            return [DataError(f"the tokenizer cannot encode it: {error}")]
        return [outcome for text in texts for outcome in _encodings([text], is_chat, tokenizer)]
    first_dropped = finder_of_dropped(tokenizer)
    return [
        encoding if (character := first_dropped(text)) is None else DataError(DROPPED.format(character))
        for text, encoding in zip(texts, batch.encodings or [], strict=True)
    ]


def _example(
    text: _Text, encoding: Encoding | DataError, bos: int | None, eos: int | None
) -> Example | DataError:
    if isinstance(encoding, DataError):
        return encoding
    ids: list[int] = encoding.ids
    labels = labels_of(encoding, ids, text.spans)
    if text.is_chat:
        # The template puts one before the text, and the first message begins with one.
        own = 1 if bos is not None and ids[:2] == [bos, bos] else 0
        return Example(tuple(ids[own:]), tuple(labels[own:]), text.warnings)
    before, behind = added_tokens(encoding)
    end = len(ids) - behind
    answered = text.spans[0][0] < text.spans[0][1]
    if answered:
        labels[end:] = ids[end:]
    kept = _without_doubles(ids, before, end)
    ids, labels = [ids[index] for index in kept], [labels[index] for index in kept]
    if answered and eos is not None and labels[-1:] != [eos]:
        ids.append(eos)
        labels.append(eos)
    return Example(tuple(ids), tuple(labels))


def _without_doubles(ids: Sequence[int], first: int, end: int) -> list[int]:
    """Places of the ids without those that the tokenizer adds around the text, [first, end), though it brings
    them itself."""
    starts = first - repeated(ids[:first], ids[first:end])
    ends = end + repeated(ids[first:end], ids[end:])
    return [*range(starts), *range(first, end), *range(ends, len(ids))]
