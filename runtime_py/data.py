"""Training data: JSONL in TRL's conventions -> token ids and labels -> static-shape batches.

    {"messages": [{"role": "user", "content": "Hi"}, ...]}         loss on every assistant turn
    {"prompt": "2 + 2 =", "completion": " 4"}                      loss on the completion
    {"prompt": [message, ...], "completion": [message, ...]}       loss on the completion's assistant turns
    {"text": "Once upon a time"}                                   loss on everything

Labels are not shifted and -100 where there is no loss, as Hugging Face models expect them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from compiler.errors import DataError
from runtime_py.encode import NO_LOSS, Example, encode, kind_of


@dataclass(frozen=True)
class Summary:
    """What training at a sequence length sees of the data."""

    examples: int
    """Examples that are trained on."""

    dropped: int
    """Examples without a trainable token within the sequence length."""

    truncated: int
    """Examples that are trained on without their end."""

    tokens: int
    """Tokens of the examples trained on, after truncation."""

    trainable_tokens: int
    """Those of them that the loss is taken on."""

    longest: int
    """Tokens of the longest example, before truncation."""

    @property
    def trainable_share(self) -> float:
        """Trainable tokens per token, 0 to 1."""
        return self.trainable_tokens / self.tokens if self.tokens else 0.0


def read_jsonl(path: str | Path, tokenizer: PreTrainedTokenizerBase) -> list[Example]:
    """Every line of the file as an Example; blank lines are skipped.

    Raises DataError, with the line number in `numbers["line"]`, when the file cannot be read, a line is not
    of the one kind that the file has, or has nothing to train on.
    """
    if not tokenizer.is_fast:
        raise DataError(
            f"{type(tokenizer).__name__} does not say where in the text its tokens are: load a fast tokenizer"
        )
    examples: list[Example] = []
    first: tuple[int, str] | None = None
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    record = _parse(line)
                    kind = kind_of(record)
                    if first is None:
                        first = number, kind
                    elif kind != first[1]:
                        raise DataError(f"has {kind}, but line {first[0]} has {first[1]}: split the file")
                    example = encode(record, tokenizer)
                    if not example.trainable_tokens:
                        raise DataError("has no token to train on: no assistant turn, or an empty completion")
                except DataError as error:
                    raise DataError(f"{path}, line {number}: {error}", line=number) from error
                examples.append(example)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if not examples:
        raise DataError(f"{path} is empty: it needs one JSON object a line")
    return examples


def summarize(examples: Sequence[Example], seq_len: int) -> Summary:
    """Counts over the examples, truncated to `seq_len` tokens as `batches` does."""
    kept = _trainable(examples, seq_len)
    return Summary(
        examples=len(kept),
        dropped=len(examples) - len(kept),
        truncated=sum(len(example.input_ids) > seq_len for example in kept),
        tokens=sum(min(len(example.input_ids), seq_len) for example in kept),
        trainable_tokens=sum(example.truncated(seq_len).trainable_tokens for example in kept),
        longest=max((len(example.input_ids) for example in examples), default=0),
    )


def batches(
    examples: Sequence[Example],
    *,
    seq_lens: Sequence[int],
    batch_size: int,
    pad_token_id: int,
    seed: int,
    start_step: int = 0,
) -> Iterator[dict[str, Tensor]]:
    """Endless batches `{"input_ids", "labels"}`, each int64 [batch_size, tokens], padded on the right: to the
    first of `seq_lens`, which ascend, that holds the batch's longest example.

    Every epoch is a shuffle of its own; batches run across the ends of epochs, so each one is full. Starting
    at `start_step` gives what follows after that many batches. Examples longer than the last length are
    truncated, and left out where that takes their last trainable token: `summarize` counts both. Raises
    DataError when none is left.
    """
    seq_len = seq_lens[-1]
    kept = _trainable(examples, seq_len)
    if not kept:
        raise DataError(
            f"none of {len(examples)} examples has a trainable token among its first {seq_len}: "
            "raise seq_len or shorten the prompts",
            examples=len(examples),
            seq_len=seq_len,
        )

    def generate() -> Iterator[dict[str, Tensor]]:
        order = _endless_order(len(kept), seed, start_step * batch_size)
        while True:
            chosen = [kept[next(order)].truncated(seq_len) for _ in range(batch_size)]
            longest = max(len(example.input_ids) for example in chosen)
            tokens = next(length for length in seq_lens if length >= longest)
            yield {
                "input_ids": _pad([example.input_ids for example in chosen], tokens, pad_token_id),
                "labels": _pad([example.labels for example in chosen], tokens, NO_LOSS),
            }

    return generate()


def _trainable(examples: Sequence[Example], seq_len: int) -> list[Example]:
    return [example for example in examples if example.truncated(seq_len).trainable_tokens]


def _endless_order(count: int, seed: int, position: int) -> Iterator[int]:
    """Indices from `position` on in the sequence of shuffled epochs; no epoch needs an earlier one."""
    epoch, offset = divmod(position, count)
    while True:
        yield from random.Random(f"{seed} {epoch}").sample(range(count), count)[offset:]
        epoch, offset = epoch + 1, 0


def _pad(rows: Sequence[tuple[int, ...]], seq_len: int, value: int) -> Tensor:
    return torch.tensor([row + (value,) * (seq_len - len(row)) for row in rows], dtype=torch.int64)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line.decode("utf-8-sig").strip())
    except json.JSONDecodeError as error:
        raise DataError(f"is not JSON: {error.msg} at column {error.colno}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8: byte {error.start + 1} is {line[error.start]:#04x}") from error
    except RecursionError as error:
        raise DataError("is nested too deeply") from error
    if not isinstance(record, dict):
        raise DataError(f"is a JSON {type(record).__name__}, not an object")
    return record
