"""From the batch that a user has to the tensors that the compiled graph takes.

A causal-LM batch is `input_ids` and `labels`, int64 [batch, tokens], labels as Hugging Face has them
(unshifted, -100 for no loss). The graph takes `input_ids`, `targets` (the next token's label) and, by option,
`rows` and `token_subset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from compiler.errors import DataError

IGNORE_INDEX = -100


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

    @property
    def tokens(self) -> int | None:
        """Of a batch, padding included; None for a plain module."""
        return self.batch_size * self.seq_len if self.causal_lm else None

    def graph_inputs(self, batch: Mapping[str, Tensor], subset: Tensor | None = None) -> dict[str, Tensor]:
        """`subset`: int64 [subset_size], the token ids of the softmax subset.

        Raises DataError for what does not fit.
        """
        if not self.causal_lm:
            return dict(batch)
        shape = (self.batch_size, self.seq_len)
        for name in ("input_ids", "labels"):
            if name not in batch or tuple(batch[name].shape) != shape:
                found = tuple(batch[name].shape) if name in batch else "missing"
                raise DataError(f"the artifact takes {name} of shape {shape}, it is {found}")
        targets = torch.full(shape, IGNORE_INDEX, dtype=torch.int64)
        targets[:, :-1] = batch["labels"][:, 1:]
        inputs = {"input_ids": batch["input_ids"]}
        if self.rows is not None:
            targets, inputs["rows"] = self._picked(targets.flatten())
        if self.subset_size is not None:
            if subset is None or tuple(subset.shape) != (self.subset_size,):
                raise DataError(f"the artifact's loss needs a softmax subset of {self.subset_size} tokens")
            targets, inputs["token_subset"] = _positions(targets, subset), subset
        return {**inputs, "targets": targets}

    def _picked(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Labels and positions of the trainable tokens, padded to `rows`."""
        assert self.rows is not None
        found = (targets != IGNORE_INDEX).nonzero()[:, 0]
        if len(found) > self.rows:
            raise DataError(
                f"the batch has {len(found)} tokens with a label, the artifact has room for {self.rows}; "
                f"compile with trainable_ratio {len(found) / len(targets):.2f} or more, or mask more of the "
                "prompt",
                trainable_tokens=len(found),
                rows=self.rows,
            )
        rows = torch.zeros(self.rows, dtype=torch.int64)
        rows[: len(found)] = found
        picked = torch.full((self.rows,), IGNORE_INDEX, dtype=torch.int64)
        picked[: len(found)] = targets[found]
        return picked, rows


def _positions(targets: Tensor, subset: Tensor) -> Tensor:
    """Targets as positions in the subset."""
    order = torch.argsort(subset)
    position = torch.searchsorted(subset[order], targets.clamp(min=0)).clamp(max=len(subset) - 1)
    counted = targets != IGNORE_INDEX
    result = order[position]
    if not bool((subset[result] == targets)[counted].all()):
        raise DataError("a label of the batch is not in the softmax subset")
    return torch.where(counted, result, IGNORE_INDEX)
