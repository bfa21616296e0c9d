"""A user's training data -> the graph inputs of one batch after the other.

The tokenizer, and the head that a softmax subset is chosen by, stay in this process: the one that trains gets
tensors only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.batch import SUBSET
from lowpeak_artifact.errors import ArtifactError, DataError
from lowpeak_artifact.layout import MANIFEST
from lowpeak_artifact.safetensors_file import bytes_of
from lowpeak_runtime.data.batch_file import PreparedBatch
from lowpeak_runtime.data.data import Batch, ExampleList, OnRead, Source, batches
from lowpeak_runtime.data.encode import Example
from lowpeak_runtime.data.jsonl import JsonlFile
from lowpeak_runtime.data.subset import choose_subset
from lowpeak_runtime.data.summary import Summary
from lowpeak_runtime.data.tokenizer_files import TOKENIZER_CONFIG, load_tokenizer
from lowpeak_runtime.data.user_data import batches_with_labels, naming_example, padding_id, require_examples

TensorBatch = Mapping[str, Tensor]
Data = str | Path | Sequence[Example] | Sequence[TensorBatch] | None
"""JSONL, encoded examples, batches like the artifact's sample (taken in turn), or None: the sample itself."""


@dataclass(frozen=True)
class TrainingData:
    """Either examples from a `source` or `given` batches, for the artifact."""

    artifact: Artifact
    source: Source | None
    given: Sequence[TensorBatch]
    sha256: str
    """Of the data: of a file's bytes, or of what is in the lists."""
    pad_token_id: int = 0
    skipped: int = 0
    """Batches that were left out of `given`, as they have no label."""

    def batches(
        self, *, seed: int, position: int = 0, on_read: OnRead = lambda summary: None
    ) -> Iterator[tuple[PreparedBatch, Summary | None]]:
        """Endless, from where a batch ended; the summary is None for given batches.

        `seed` orders the examples. Raises DataError when a batch does not fit the artifact, and as
        lowpeak_runtime/data/data.py's batches.
        """
        manifest = self.artifact.manifest
        places = {bucket.suffix: index for index, bucket in enumerate(manifest.buckets)}
        for batch in self._stream(seed, position, on_read):
            bucket = manifest.bucket_of(batch.tensors)
            with naming_example(self.source, batch.rows):
                inputs = bucket.graph_inputs(batch.tensors, self._token_subset(batch.tensors))
            yield PreparedBatch(places[bucket.suffix], inputs, batch.end), batch.summary

    def first_batch(self, *, seed: int) -> dict[str, Tensor]:
        """As `simulate` takes it, with `token_subset` if the loss has one."""
        batch = next(self._stream(seed, 0, lambda summary: None)).tensors
        subset = self._token_subset(batch)
        return dict(batch) if subset is None else {**batch, "token_subset": subset}

    def _token_subset(self, batch: TensorBatch) -> Tensor | None:
        """The batch's labels and the tokens nearest to them."""
        size = self.artifact.manifest.largest.batch.subset_size
        if size is None or SUBSET in batch:
            return batch.get(SUBSET)
        return choose_subset(batch["labels"], self._head, size)

    @cached_property
    def _head(self) -> Tensor:
        return head(self.artifact)

    def _stream(self, seed: int, position: int, on_read: OnRead) -> Iterator[Batch]:
        if self.source is None:
            return (Batch(self.given[each % len(self.given)], each + 1) for each in count(position))
        return batches(
            self.source,
            seq_lens=[bucket.batch.seq_len for bucket in self.artifact.manifest.buckets],
            batch_size=self.artifact.manifest.largest.batch.batch_size,
            pad_token_id=self.pad_token_id,
            seed=seed,
            position=position,
            on_read=on_read,
        )


def training_data(artifact: Artifact, data: Data) -> TrainingData:
    """Looks through what there is to train on. Raises DataError when it cannot be read or does not fit."""
    if data is None:
        sample = artifact.sample()
        if sample is None:
            raise DataError("the artifact has no sample batch: give training data")
        data = [{name: tensor for name, tensor in sample.items() if name != SUBSET}]
    if isinstance(data, str | Path):
        if not artifact.manifest.largest.batch.causal_lm:
            raise DataError("the artifact is of a plain module, which takes no text: give a list of batches")
        tokenizer = tokenizer_of(artifact)
        file = JsonlFile(data, tokenizer)
        return TrainingData(artifact, file, (), file.sha256, padding_id(artifact, tokenizer))
    if not isinstance(data, Sequence):
        raise DataError(
            f"training data is a JSONL file, a list of batches or a list of encoded examples; this is a "
            f"{type(data).__name__}"
        )
    if not data or all(isinstance(each, Example) for each in data):
        examples = cast(Sequence[Example], data)
        require_examples(artifact, examples)
        source = ExampleList(examples)
        return TrainingData(artifact, source, (), source.sha256)
    return _of_batches(artifact, data)


def _of_batches(artifact: Artifact, batches: Sequence[object]) -> TrainingData:
    """Each is prepared once now: what does not fit is not to be met after hours."""
    kept = batches_with_labels(artifact, batches)
    digest = hashlib.sha256()
    for batch in kept:
        for name, tensor in sorted(batch.items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode())
            digest.update(bytes_of(tensor))
    data = TrainingData(artifact, None, kept, digest.hexdigest(), skipped=len(batches) - len(kept))
    for _ in islice(data.batches(seed=0), len(kept)):
        pass
    return data


def tokenizer_of(artifact: Artifact) -> PreTrainedTokenizerBase:
    """Raises DataError when the artifact has none."""
    problem = artifact.manifest.tokenizer_problem
    if problem is not None and TOKENIZER_CONFIG not in artifact.manifest.files:
        raise DataError(
            f"the artifact {artifact.path} has no tokenizer, so text cannot be encoded: "
            f"{problem}. Mend that and compile again, or give encoded examples"
        )
    try:
        return load_tokenizer(artifact.manifest.files.keys(), artifact.read)
    except DataError as error:
        raise DataError(
            f"the artifact {artifact.path} has no tokenizer that can be loaded, so text cannot be encoded: "
            f"compile it from a model folder with tokenizer files, or give encoded examples ({error})"
        ) from error


def head(artifact: Artifact) -> Tensor:
    """The output embedding, float32 [vocabulary, hidden], dequantized if the artifact has it quantized."""
    name = artifact.manifest.options.get("head")
    if not isinstance(name, str):
        raise ArtifactError(f"{MANIFEST} of {artifact.path}: options has no head; compile the artifact again")
    matrix = artifact.quantized(name)
    return artifact.tensor(name).to(torch.float32) if matrix is None else matrix.dequantize()
