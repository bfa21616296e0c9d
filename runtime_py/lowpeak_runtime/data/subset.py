"""Which tokens the approximate softmax runs over (paper, softmax approximation).

The rule: the labels of the data set first, then the tokens whose output embeddings have the highest cosine
with that of any of them, until the subset is full. It is chosen once for a data set.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lowpeak_artifact.batch import IGNORE_INDEX
from lowpeak_artifact.batch_input import Ids
from lowpeak_artifact.errors import DataError

LABELS_AT_ONCE = 256


def choose_subset(label_ids: Tensor, output_embedding: Tensor, size: int) -> Tensor:
    """label_ids: int64, any shape, -100 ignored; output_embedding: float [V, width] -> sorted int64 [size].

    Raises DataError when there are more distinct labels than the subset has room for, or one has no row.
    """
    Ids(len(output_embedding), IGNORE_INDEX).require("labels", label_ids)
    labels = torch.unique(label_ids[label_ids != IGNORE_INDEX])
    if len(labels) > size:
        raise DataError(
            f"the batch has {len(labels)} distinct labels, the softmax subset has {size} tokens; compile "
            f"with subset_size {len(labels)} or more, or loss='exact'",
            distinct_labels=len(labels),
            subset_size=size,
        )
    unit = torch.nn.functional.normalize(output_embedding.float(), dim=1)
    nearness = torch.full((len(unit),), -2.0)
    for chunk in labels.split(LABELS_AT_ONCE):
        nearness = torch.maximum(nearness, (unit @ unit[chunk].T).amax(1))
    nearness[labels] = 2.0
    return nearness.topk(size).indices.sort().values
