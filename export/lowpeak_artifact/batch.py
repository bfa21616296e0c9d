"""From the batch that a user has to the tensors that the compiled graph takes.

A causal-LM batch is `input_ids` and `labels`, int64 [batch, tokens], labels as Hugging Face has them
(unshifted, -100 for no loss). The graph takes `input_ids`, `targets` (the next token's label) and, by option,
`rows` and `token_subset`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lowpeak_artifact.batch_checks import (
    ASIDE,
    require_known,
    require_same_meaning,
    tensors_of,
    token_ids,
    token_targets,
)
from lowpeak_artifact.batch_checks import IGNORE_INDEX as IGNORE_INDEX
from lowpeak_artifact.batch_input import BatchInput, converted
from lowpeak_artifact.errors import DataError

TARGETS, SUBSET = "targets", "token_subset"
NO_LABEL = "the batch has no label after the first token of a row: there is no loss to train on"


@dataclass(frozen=True)
class BatchSpec:
    """How graph inputs are made. `causal_lm` False: the batch is given to the graph as it is."""

    causal_lm: bool
    batch_size: int = 1
    seq_len: int = 0
    rows: int | None = None
    """Tokens with a label that a batch can have, when logits are masked; None: all of them."""
    subset_size: int | None = None
    """Tokens of the softmax subset, when the loss is approximate."""
    token_types: bool = False
    """Whether the model embeds token types, which the graph does not."""

    @property
    def tokens(self) -> int | None:
        """Of a batch, padding included; None for a plain module."""
        return self.batch_size * self.seq_len if self.causal_lm else None

    def checked(
        self, batch: Mapping[str, Tensor], inputs: Sequence[BatchInput] | None = None
    ) -> dict[str, Tensor]:
        """The batch with tensors for lists and arrays, in the graph's types; of a causal LM `input_ids`,
        `labels` and perhaps `token_subset`.

        `inputs`: what the graph takes; None: ids, and what a plain module is given, are not looked at.
        Raises DataError naming what does not fit, or would be left out of the training.
        """
        tensors = tensors_of(batch)
        if not self.causal_lm:
            return tensors if inputs is None else _of_module(tensors, inputs)
        subset = () if self.subset_size is None else (SUBSET,)
        require_known(tensors, ("input_ids", "labels", *subset, *ASIDE))
        shape = (self.batch_size, self.seq_len)
        checked = {name: token_ids(name, tensors, shape) for name in ("input_ids", "labels")}
        checked.update({n: converted(n, tensors[n], torch.int64) for n in subset if n in tensors})
        for each in inputs or ():
            if each.name == "input_ids" and each.ids:
                each.ids.require("input_ids", checked["input_ids"])
            if each.name == (SUBSET if subset else TARGETS) and each.ids:
                replace(each.ids, ignored=IGNORE_INDEX).require("labels", checked["labels"])
        require_same_meaning(tensors, token_targets(checked["labels"]), self.token_types)
        return checked

    def graph_inputs(
        self,
        batch: Mapping[str, Tensor],
        subset: Tensor | None = None,
        inputs: Sequence[BatchInput] | None = None,
    ) -> dict[str, Tensor]:
        """`subset`: int64 [subset_size], the token ids of the softmax subset, by default the batch's own;
        `inputs` as for `checked`.

        Raises DataError for what does not fit.
        """
        batch = self.checked(batch, inputs)
        if not self.causal_lm:
            return batch
        if not self.has_loss(batch):
            raise DataError(NO_LABEL)
        targets = token_targets(batch["labels"])
        tensors = {"input_ids": batch["input_ids"]}
        if self.rows is not None:
            targets, tensors["rows"] = self._picked(targets.flatten())
        if self.subset_size is not None:
            subset = batch.get(SUBSET) if subset is None else subset
            if subset is None or tuple(subset.shape) != (self.subset_size,):
                raise DataError(f"the artifact's loss needs a softmax subset of {self.subset_size} tokens")
            targets, tensors[SUBSET] = _positions(targets, subset), subset
        tensors[TARGETS] = targets
        for each in inputs or ():
            tensors[each.name] = each.taken(tensors[each.name])
        return tensors

    def has_loss(self, checked: Mapping[str, Tensor]) -> bool:
        """Whether a batch has a label that a token before it predicts."""
        return not self.causal_lm or bool((checked["labels"][:, 1:] != IGNORE_INDEX).any())

    def weight_of(self, graph_inputs: Mapping[str, Tensor]) -> int:
        """What a batch counts for among those of one update: its labels, for its loss is the mean over them.
        Batches of a plain module count alike. Raises DataError for a batch without a label.
        """
        if not self.causal_lm:
            return 1
        targets = graph_inputs.get(TARGETS)
        labels = 0 if targets is None else int((targets != IGNORE_INDEX).sum())
        if not labels:
            raise DataError(NO_LABEL)
        return labels

    def _picked(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Labels and positions of the trainable tokens, padded to `rows`."""
        assert self.rows is not None
        labelled = (targets != IGNORE_INDEX).nonzero()[:, 0]
        if len(labelled) > self.rows:
            raise DataError(
                f"the batch has {len(labelled)} tokens with a label, the artifact has room for {self.rows}; "
                f"compile with trainable_ratio {len(labelled) / len(targets):.2f} or more, or mask more of "
                "the prompt",
                trainable_tokens=len(labelled),
                rows=self.rows,
            )
        rows = torch.zeros(self.rows, dtype=torch.int64)
        rows[: len(labelled)] = labelled
        picked = torch.full((self.rows,), IGNORE_INDEX, dtype=torch.int64)
        picked[: len(labelled)] = targets[labelled]
        return picked, rows


def _positions(targets: Tensor, subset: Tensor) -> Tensor:
    """Targets as positions in the subset."""
    if len(subset.unique()) != len(subset):
        raise DataError("the softmax subset has a token twice: it must be of different tokens")
    order = torch.argsort(subset)
    position = torch.searchsorted(subset[order], targets.clamp(min=0)).clamp(max=len(subset) - 1)
    counted = targets != IGNORE_INDEX
    result = order[position]
    if not bool((subset[result] == targets)[counted].all()):
        raise DataError("a label of the batch is not in the softmax subset")
    return torch.where(counted, result, IGNORE_INDEX)


def _of_module(tensors: Mapping[str, Tensor], inputs: Sequence[BatchInput]) -> dict[str, Tensor]:
    known = [each.name for each in inputs]
    require_known(tensors, known)
    for each in inputs:
        if each.name not in tensors:
            raise DataError(f"the artifact takes {each.name} of shape {tuple(each.shape)}, it is missing")
    return {each.name: each.taken(tensors[each.name]) for each in inputs}
