"""What users give to train on from Python, looked at before any step is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.batch_checks import tensors_of
from lowpeak_artifact.errors import DataError
from lowpeak_runtime.data.data import Source
from lowpeak_runtime.data.encode import Example


def batches_with_labels(artifact: Artifact, batches: Sequence[object]) -> list[dict[str, Tensor]]:
    """As tensors, without those that have no label: there the optimizer would move the adapter by what it
    remembers. Raises DataError, with the batch's number, for one that does not fit the artifact, and when
    none is left.
    """
    kept = []
    for number, each in enumerate(batches):
        try:
            tensors = tensors_of(each)
            bucket = artifact.manifest.bucket_of(tensors)
            batch = bucket.checked(tensors)
        except DataError as error:
            raise DataError(f"batch {number} of the data: {error}", batch=number, **error.numbers) from error
        if bucket.batch.has_loss(batch):
            kept.append(batch)
    if not kept:
        raise DataError(f"none of {len(batches)} batches has a label after the first token of a row")
    return kept


def require_examples(artifact: Artifact, examples: Sequence[Example]) -> None:
    """Raises DataError for what no batch can be made of."""
    if not artifact.manifest.largest.batch.causal_lm:
        raise DataError("the artifact is of a plain module, which takes no examples: give a list of batches")
    for number, example in enumerate(examples):
        ids, labels = len(example.input_ids), len(example.labels)
        if ids != labels:
            raise DataError(f"example {number} of the data has {ids} ids and {labels} labels")


@contextmanager
def naming_example(source: Source | None, rows: Sequence[tuple[int, Example]]) -> Iterator[None]:
    """An id without a row is told with the place of the batch's first example that has it.

    `rows`: the batch's examples, with their numbers in the source.
    """
    try:
        yield
    except DataError as error:
        for number, example in rows:
            if source is not None and error.numbers.get("id") in (*example.input_ids, *example.labels):
                raise DataError(f"{source.place(number)}: {error}", **error.numbers) from error
        raise


def padding_id(artifact: Artifact, tokenizer: PreTrainedTokenizerBase) -> int:
    """The tokenizer's if it has one with a row in the embedding; else 0, for nothing sees padding."""
    ids = next((each.ids for each in artifact.manifest.largest.inputs if each.name == "input_ids"), None)
    pad = tokenizer.pad_token_id
    return pad if isinstance(pad, int) and pad >= 0 and (ids is None or pad < ids.rows) else 0
