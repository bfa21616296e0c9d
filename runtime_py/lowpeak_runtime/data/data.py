"""Training data: token ids and labels -> static-shape batches, in the order that a seed decides.

Where examples come from is a Source: a JSONL file in TRL's conventions (lowpeak_runtime/data/jsonl.py), or a
list. Labels are not shifted and -100 where there is no loss, as Hugging Face models expect them.
"""

from __future__ import annotations

import hashlib
import random
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch
from torch import Tensor

from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.encode import NO_LOSS, Example
from lowpeak_runtime.data.summary import Summary

AT_ONCE = 64
"""Examples that are fetched together; what is trained does not depend on it."""

OnRead = Callable[[Summary], None]
"""Is told what was seen until now, whenever more examples were fetched and looked at."""


class Source(Protocol):
    """Examples by number, from 0."""

    sha256: str
    """Of all that they hold: tells whether two are the same data."""

    def __len__(self) -> int: ...

    def examples(self, numbers: Sequence[int]) -> list[Example | DataError]:
        """Those of the numbers, in their order; the error of one that cannot be trained on in its place."""

    def place(self, number: int) -> str:
        """Where the example is, in words."""


class ExampleList:
    """Examples that are in memory. Raises DataError when there is none."""

    def __init__(self, examples: Sequence[Example]) -> None:
        if not examples:
            raise DataError("there is no training data: the list is empty")
        self._examples = examples
        digest = hashlib.sha256()
        for example in examples:
            for values in (example.input_ids, example.labels):
                digest.update(len(values).to_bytes(8, "little") + array("q", values).tobytes())
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._examples)

    def examples(self, numbers: Sequence[int]) -> list[Example | DataError]:
        return [self._examples[number] for number in numbers]

    def place(self, number: int) -> str:
        return f"example {number} of the data"


@dataclass(frozen=True)
class Batch:
    """Of examples: `input_ids` and `labels`, int64 [batch_size, tokens], padded on the right."""

    tensors: Mapping[str, Tensor]

    end: int
    """The position in the order of all epochs after its last example: the next batch begins there."""

    rows: Sequence[tuple[int, Example]] = ()
    """Its examples and their numbers."""

    summary: Summary | None = None
    """Up to this batch; None for batches that were given."""


def batches(
    source: Source,
    *,
    seq_lens: Sequence[int],
    batch_size: int,
    pad_token_id: int,
    seed: int,
    position: int = 0,
    on_read: OnRead = lambda summary: None,
) -> Iterator[Batch]:
    """Endless batches, padded to the first of `seq_lens`, which ascend, that holds the batch's longest
    example.

    Every epoch is a shuffle of its own; batches run across the ends of epochs, so each one is full. Starting
    at the `position` where a batch ended gives what follows it. Examples longer than the last length are
    truncated, and left out where that takes their last trainable token. Raises DataError when an epoch has
    none left, and for an example that cannot be trained on when its turn comes.
    """
    reader = _Reader(source, seq_lens[-1], on_read)
    kept = reader.kept(seed, position)
    while True:
        rows = list(islice(kept, batch_size))
        longest = max(len(example.input_ids) for _, example in rows)
        tokens = next(length for length in seq_lens if length >= longest)
        tensors = {
            "input_ids": _pad([example.input_ids for _, example in rows], tokens, pad_token_id),
            "labels": _pad([example.labels for _, example in rows], tokens, NO_LOSS),
        }
        yield Batch(tensors, reader.position, rows, reader.summary())


class _Reader:
    """Looks at examples in their order, and counts them."""

    def __init__(self, source: Source, seq_len: int, on_read: OnRead) -> None:
        self.position = 0
        """After the example that was looked at last."""
        self._source = source
        self._seq_len = seq_len
        self._on_read = on_read
        self._met = bytearray(-(-len(source) // 8))
        self._seen = self._dropped = self._truncated = self._tokens = self._trainable = 0
        self._longest = self._enough = 0
        self._warnings: Counter[str] = Counter()

    def summary(self) -> Summary:
        return Summary(
            examples=len(self._source),
            seen=self._seen,
            dropped=self._dropped,
            truncated=self._truncated,
            tokens=self._tokens,
            trainable_tokens=self._trainable,
            longest=self._longest,
            enough=max(self._enough, self._seq_len),
            warnings=dict(self._warnings),
        )

    def kept(self, seed: int, position: int) -> Iterator[tuple[int, Example]]:
        """Endless: numbers and truncated examples from the position on that have a trainable token left."""
        self.position = position
        epoch, offset = divmod(position, len(self._source))
        while True:
            kept = 0
            order = islice(shuffled(len(self._source), seed, epoch), offset, None)
            while numbers := list(islice(order, AT_ONCE)):
                for number, outcome in zip(numbers, self._source.examples(numbers), strict=True):
                    self.position += 1
                    if isinstance(outcome, DataError):
                        raise outcome
                    example = outcome.truncated(self._seq_len)
                    trainable = example.trainable_tokens
                    self._count(number, outcome, example, trainable)
                    if trainable:
                        kept += 1
                        yield number, example
                self._on_read(self.summary())
            if not kept and not offset:
                raise DataError(
                    f"none of {len(self._source)} examples has a trainable token among its first "
                    f"{self._seq_len}: raise seq_len ({self._enough} keeps them all) or shorten the prompts",
                    examples=len(self._source),
                    seq_len=self._seq_len,
                )
            epoch, offset = epoch + 1, 0

    def _count(self, number: int, whole: Example, example: Example, trainable: int) -> None:
        if trainable:
            self._tokens += len(example.input_ids)
            self._trainable += trainable
        byte, bit = divmod(number, 8)
        if self._met[byte] >> bit & 1:
            return
        self._met[byte] |= 1 << bit
        self._seen += 1
        self._longest = max(self._longest, len(whole.input_ids))
        self._warnings.update(whole.warnings)
        if trainable:
            self._truncated += len(whole.input_ids) > self._seq_len
        else:
            self._dropped += 1
            self._enough = max(self._enough, _tokens_to_train_on(whole))


def shuffled(count: int, seed: int, epoch: int) -> Iterator[int]:
    """The order of an epoch: `random.Random(...).sample(range(count), count)`, one after the other, in 8
    bytes an index.
    """
    chance = random.Random(f"{seed} {epoch}")
    left = array("q", range(count))
    for last in range(count - 1, -1, -1):
        place = chance.randrange(last + 1)
        number = left[place]
        left[place] = left[last]
        yield number


def _tokens_to_train_on(example: Example) -> int:
    """Up to the first that has a loss; 0 if none has."""
    return next((end for end, label in enumerate(example.labels[1:], start=2) if label != NO_LOSS), 0)


def _pad(rows: Sequence[tuple[int, ...]], seq_len: int, value: int) -> Tensor:
    return torch.tensor([row + (value,) * (seq_len - len(row)) for row in rows], dtype=torch.int64)
