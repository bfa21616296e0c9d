"""A user's training data -> the graph inputs of a range of steps, made before training starts.

The tokenizer, and the head that a softmax subset is chosen by, stay in this process: the one that trains gets
tensors only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from compiler.errors import DataError
from compiler.subset import choose_subset
from export.artifact import Artifact
from runtime_py.batch_file import Batch, packed
from runtime_py.data import batches, read_jsonl
from runtime_py.encode import Example

TensorBatch = Mapping[str, Tensor]
Data = str | Path | Sequence[Example] | Sequence[TensorBatch] | None
"""JSONL, encoded examples, batches like the artifact's sample (taken in turn), or None: the sample itself."""


@dataclass(frozen=True)
class TrainingData:
    """Either `examples` or `given` batches, for the artifact."""

    artifact: Artifact
    examples: Sequence[Example]
    given: Sequence[TensorBatch]
    pad_token_id: int = 0

    def graph_inputs(self, *, seed: int, first_step: int, steps: int) -> dict[str, Tensor]:
        """Inputs of `steps` steps from `first_step` on, as batch_file.py has them.

        `seed` orders the examples. Raises DataError when a batch does not fit the artifact.
        """
        manifest = self.artifact.manifest
        places = {bucket.suffix: index for index, bucket in enumerate(manifest.buckets)}

        def made() -> Iterator[Batch]:
            for batch in islice(self._stream(seed, first_step), steps):
                bucket = manifest.bucket_of(batch)
                inputs = bucket.batch.graph_inputs(batch, self._token_subset(batch))
                yield places[bucket.suffix], inputs

        return packed(made())

    def batch(self, *, seed: int, step: int) -> dict[str, Tensor]:
        """The batch of one step as `simulate` takes it, with `token_subset` if the loss has one."""
        given = dict(next(self._stream(seed, step)))
        subset = self._token_subset(given)
        return given if subset is None else {**given, "token_subset": subset}

    def _token_subset(self, batch: TensorBatch) -> Tensor | None:
        """The batch's labels and the tokens nearest to them."""
        size = self.artifact.manifest.largest.batch.subset_size
        return None if size is None else choose_subset(batch["labels"], self._head, size)

    @cached_property
    def _head(self) -> Tensor:
        return head(self.artifact)

    def _stream(self, seed: int, first_step: int) -> Iterator[TensorBatch]:
        if self.given:
            start = first_step % len(self.given)
            return cycle([*self.given[start:], *self.given[:start]])
        spec = self.artifact.manifest.largest.batch
        return batches(
            self.examples,
            seq_lens=[bucket.batch.seq_len for bucket in self.artifact.manifest.buckets],
            batch_size=spec.batch_size,
            pad_token_id=self.pad_token_id,
            seed=seed,
            start_step=first_step,
        )


def training_data(artifact: Artifact, data: Data) -> TrainingData:
    """Reads and encodes what there is to train on. Raises DataError when that cannot be done."""
    if data is None:
        sample = artifact.sample()
        if sample is None:
            raise DataError("the artifact has no sample batch: give training data")
        return TrainingData(artifact, (), [sample])
    if isinstance(data, str | Path):
        if not artifact.manifest.largest.batch.causal_lm:
            raise DataError("the artifact is of a plain module, which takes no text: give a list of batches")
        tokenizer = tokenizer_of(artifact)
        return TrainingData(artifact, read_jsonl(data, tokenizer), (), tokenizer.pad_token_id or 0)
    if not data:
        raise DataError("there is no training data: the list is empty")
    if isinstance(data[0], Example):
        return TrainingData(artifact, cast(Sequence[Example], data), ())
    return TrainingData(artifact, (), cast(Sequence[TensorBatch], data))


def tokenizer_of(artifact: Artifact) -> PreTrainedTokenizerBase:
    """Raises DataError when the artifact has none."""
    if artifact.manifest.tokenizer_problem is not None:
        raise DataError(
            f"the artifact {artifact.path} has no tokenizer, so text cannot be encoded: "
            f"{artifact.manifest.tokenizer_problem}. Mend that and compile again, or give encoded examples"
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            artifact.path, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"the artifact {artifact.path} has no tokenizer that can be loaded, so text cannot be encoded: "
            f"compile it from a model folder with tokenizer files, or give encoded examples ({error})"
        ) from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def head(artifact: Artifact) -> Tensor:
    """The output embedding, float32 [vocabulary, hidden], dequantized if the artifact has it quantized."""
    name = artifact.manifest.options["head"]
    matrix = artifact.quantized(name)
    return artifact.tensor(name).to(torch.float32) if matrix is None else matrix.dequantize()
