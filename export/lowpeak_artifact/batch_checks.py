"""What a batch as users have it may hold: other keys than the graph takes only where they change nothing.

An artifact's attention is causal over the whole row and its positions are 0, 1, 2 ...; a mask or positions
that say the same for every token that the loss depends on are accepted, others are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowpeak_artifact.batch_input import converted
from lowpeak_artifact.errors import DataError

IGNORE_INDEX = -100
MASK, POSITIONS, TYPES = "attention_mask", "position_ids", "token_type_ids"
ASIDE = (MASK, POSITIONS, TYPES)
"""Keys of a causal LM's batch that may be there beside what is trained on."""


def tensors_of(batch: object) -> dict[str, Tensor]:
    """A batch's values as tensors; lists and arrays are copied, what is None is left out.

    Raises DataError for what is no mapping, and for values that are no numbers or no rectangle of them.
    """
    if not isinstance(batch, Mapping):
        raise DataError(
            f"a batch is a mapping of names to tensors, arrays or lists of numbers; this is a "
            f"{type(batch).__name__}"
        )
    return {str(name): _tensor(str(name), value) for name, value in batch.items() if value is not None}


def token_targets(labels: Tensor) -> Tensor:
    """Labels [examples, tokens] -> of each token the label of the next; the last has none."""
    targets = torch.full(labels.shape, IGNORE_INDEX, dtype=torch.int64)
    targets[:, :-1] = labels[:, 1:]
    return targets


def token_ids(name: str, batch: Mapping[str, Tensor], shape: tuple[int, ...]) -> Tensor:
    """int64 of that shape. Raises DataError when it is missing or of another shape, or no integers."""
    if name not in batch or tuple(batch[name].shape) != shape:
        actual = tuple(batch[name].shape) if name in batch else "missing"
        rows = "; a batch has one row for each example" if name in batch and len(actual) == 1 else ""
        raise DataError(f"the artifact takes {name} of shape {shape}, it is {actual}{rows}")
    return converted(name, batch[name], torch.int64)


def require_same_meaning(batch: Mapping[str, Tensor], targets: Tensor, token_types: bool) -> None:
    """Raises DataError for a key of `ASIDE` that says anything else than the artifact does anyway.

    `targets`: int64 [examples, tokens]; what comes after the last of a row has no part in the loss.
    `token_types`: whether the model adds an embedding of them, for zeros too.
    """
    places = torch.arange(targets.shape[1])
    last = torch.where(targets != IGNORE_INDEX, places, -1).amax(1, keepdim=True)
    counts = places <= last
    if MASK in batch:
        mask = _of_batch(MASK, batch[MASK], targets)
        if not bool(((mask == 0) | (mask == 1)).all()):
            raise DataError(f"{MASK} may hold 0 and 1 only: no other mask than for padding can be compiled")
        _require(
            counts & (mask == 0), f"{MASK} is 0", "which the loss depends on: a token sees all tokens before "
            "it. Pad on the right (tokenizer.padding_side = 'right'), with labels -100 on the padding",
        )  # fmt: skip
    if POSITIONS in batch:
        positions = _of_batch(POSITIONS, batch[POSITIONS], targets)
        _require(
            counts & (positions != places), f"{POSITIONS} is not the token's place in its row", "which the "
            "loss depends on: positions are 0, 1, 2 ... in every row. Give each sequence a row of its own, "
            "padded on the right",
        )  # fmt: skip
    if TYPES in batch:
        types = _of_batch(TYPES, batch[TYPES], targets)
        if token_types:
            raise DataError(f"the model adds an embedding for {TYPES}, the artifact none: leave {TYPES} out")
        _require(counts & (types != 0), f"{TYPES} is not 0", "and cannot be compiled: leave it out")


def require_known(batch: Mapping[str, Tensor], known: Sequence[str]) -> None:
    """Raises DataError naming the keys that are not `known`."""
    unknown = sorted(batch.keys() - set(known))
    if unknown:
        raise DataError(
            f"the batch has {', '.join(unknown)}, which the artifact does not take: it takes "
            f"{', '.join(known)}. Leave out what the loss does not depend on"
        )


def _of_batch(name: str, tensor: Tensor, targets: Tensor) -> Tensor:
    """Of the shape [examples, tokens], from one row for all examples too."""
    rows = tensor[None] if tensor.dim() == 1 else tensor
    examples, tokens = targets.shape
    if tuple(rows.shape) not in ((examples, tokens), (1, tokens)):
        raise DataError(f"{name} must be of shape {(examples, tokens)}, it is {tuple(tensor.shape)}")
    return rows.expand(examples, tokens)


def _require(wrong_where: Tensor, what: str, why: str) -> None:
    if bool(wrong_where.any()):
        example, token = wrong_where.nonzero()[0].tolist()
        raise DataError(f"{what} at token {token} of example {example}, {why}", example=example, token=token)


def _tensor(name: str, value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach() if value.requires_grad else value
    try:
        # A list of tensors or arrays is as good as a list of lists.
        plain = [np.asarray(item).tolist() for item in value] if isinstance(value, list | tuple) else value
        return torch.tensor(plain)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise DataError(f"{name} of the batch is no tensor, nor a rectangle of numbers: {error}") from error
