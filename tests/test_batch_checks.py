"""What a batch may hold beside ids and labels; what is accepted, and refused, is eager's loss compared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lowpeak_artifact.batch import BatchSpec
from lowpeak_artifact.batch_checks import tensors_of
from lowpeak_artifact.errors import DataError
from tests.tiny import tiny_llama

TOKENS = 6
SPEC = BatchSpec(True, 2, TOKENS)
IDS = torch.arange(1, 2 * TOKENS + 1).view(2, TOKENS)
# The last label of the first example is at token 3, so tokens 0 to 2 decide; of the second all but the last.
LABELS = torch.tensor([[-100, 2, 3, 4, -100, -100], [-100, -100, 9, 10, 11, 12]])
PLACES = torch.arange(TOKENS)


def batch(**more: Any) -> dict[str, Any]:
    return {"input_ids": IDS, "labels": LABELS, **more}


def mask(*first: int) -> Tensor:
    return torch.tensor([first, [1] * TOKENS])


def eager_losses(more: dict[str, Any]) -> tuple[float, float]:
    """Of transformers with the keys, and without them."""
    model = tiny_llama()
    with torch.no_grad():
        inputs = {name: torch.as_tensor(value) for name, value in more.items()}
        return model(**batch(**inputs)).loss.item(), model(**batch()).loss.item()


@pytest.mark.parametrize(
    "more",
    [
        {"attention_mask": torch.ones(2, TOKENS, dtype=torch.int64)},
        {"attention_mask": mask(1, 1, 1, 1, 0, 0)},
        {"attention_mask": mask(1, 1, 1, 1, 0, 0).bool()},
        {"attention_mask": mask(1, 1, 1, 0, 0, 0).tolist()},
        {"position_ids": PLACES.expand(2, -1)},
        {"position_ids": PLACES[None]},
        {"position_ids": torch.stack([PLACES.clamp(max=2), PLACES])},
    ],
)
def test_what_means_the_same_is_taken(more: dict[str, Any]) -> None:
    actual, expected = eager_losses(more)
    assert actual == pytest.approx(expected, rel=1e-6)
    assert SPEC.graph_inputs(batch(**more)).keys() == {"input_ids", "targets"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"attention_mask": mask(0, 0, 1, 1, 1, 1)},
            "attention_mask is 0 at token 0 of example 0.*on the right",
        ),
        ({"attention_mask": mask(1, 0, 1, 1, 1, 1)}, "attention_mask is 0 at token 1 of example 0"),
        (
            {"position_ids": torch.stack([PLACES, PLACES % 3])},
            "position_ids is not .* at token 3 of example 1",
        ),
    ],
)
def test_what_means_something_else_is_refused(more: dict[str, Any], message: str) -> None:
    actual, expected = eager_losses(more)
    assert abs(actual - expected) > 2e-5, "transformers trains the same: there is nothing to refuse"
    with pytest.raises(DataError, match=message):
        SPEC.graph_inputs(batch(**more))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"attention_mask": mask(1, 1, 0, 0, 0, 0)}, "attention_mask is 0 at token 2 of example 0"),
        ({"attention_mask": 2 * mask(1, 1, 1, 1, 1, 1)}, "attention_mask may hold 0 and 1 only"),
        ({"attention_mask": torch.zeros(2, 1, 6, 6)}, "attention_mask must be of shape"),
        ({"position_ids": PLACES + 1}, "position_ids is not the token's place in its row at token 0"),
        ({"token_type_ids": mask(0, 1, 0, 0, 0, 0)}, "token_type_ids is not 0 at token 1"),
        ({"inputs_embeds": torch.zeros(2, 6, 8), "logits_to_keep": 3}, "has inputs_embeds, logits_to_keep"),
        ({"token_subset": [1, 2]}, "has token_subset"),
    ],
)
def test_other_keys_are_named(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        SPEC.graph_inputs(batch(**more))


def test_token_types_of_a_model_that_embeds_them() -> None:
    """GPT-2 adds a row of its embedding for them, for zeros too."""
    zeros = batch(token_type_ids=torch.zeros(2, TOKENS, dtype=torch.int64))
    SPEC.graph_inputs(zeros)
    with pytest.raises(DataError, match="leave token_type_ids out"):
        BatchSpec(True, 2, TOKENS, token_types=True).graph_inputs(zeros)


@pytest.mark.parametrize(
    "form",
    [
        Tensor.tolist,
        Tensor.numpy,
        lambda tensor: tensor.to(torch.int32),
        lambda tensor: list(tensor),
        lambda tensor: [row.numpy() for row in tensor],
        lambda tensor: tuple(map(tuple, tensor.tolist())),
    ],
)
def test_lists_and_arrays_are_tensors(form: Any) -> None:
    expected = SPEC.graph_inputs(batch())
    actual = SPEC.graph_inputs({"input_ids": form(IDS), "labels": form(LABELS), "attention_mask": None})
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([IDS, LABELS], "a batch is a mapping of names.*this is a list"),
        ("text", "this is a str"),
        ({"input_ids": [[1, 2], [3]]}, "input_ids of the batch is no tensor, nor a rectangle"),
        ({"input_ids": "text"}, "input_ids of the batch is no tensor"),
        ({"input_ids": np.array(["a"])}, "input_ids of the batch is no tensor"),
    ],
)
def test_what_is_no_batch(wrong: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        tensors_of(wrong)
