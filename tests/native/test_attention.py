"""Attention kernels against float64 torch."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.native.attention import attention
from tests.native.linear import available_isas

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Case:
    """What an attention call depends on."""

    isa: int
    workers: int
    key_heads: int
    group: int
    dim: int
    tokens: int
    tokens_first: bool
    scale: float
    seed: int

    def tensor(self, heads: int, tokens: int, margin: int = 0) -> Tensor:
        """[heads, tokens, dim] in this case's layout, random; rows lie `margin` floats further apart."""
        first, second = (tokens, heads) if self.tokens_first else (heads, tokens)
        rows = torch.randn(first, second, self.dim + margin)[..., : self.dim]
        return rows.transpose(0, 1) if self.tokens_first else rows


cases = st.builds(
    Case,
    isa=st.sampled_from(available_isas()),
    workers=st.integers(1, 5),
    key_heads=st.integers(1, 3),
    group=st.integers(1, 7),
    dim=st.one_of(st.sampled_from([64, 80, 96, 128, 256]), st.integers(1, 70)),
    tokens=st.one_of(st.integers(1, 200), st.sampled_from([64, 128, 129, 257])),
    tokens_first=st.booleans(),
    scale=st.sampled_from([0.125, 0.08838834764, 1.0]),
    seed=st.integers(0, 1 << 30),
)


def reference(case: Case, grad: Tensor, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
    """out, logsumexp and the gradients of query, key and value of a whole sequence, in float64."""
    leaves = [x.double().requires_grad_() for x in (query, key, value)]
    scores = leaves[0] @ leaves[1].repeat_interleave(case.group, 0).mT * case.scale
    visible = torch.ones(case.tokens, case.tokens, dtype=torch.bool).tril()
    scores = scores.masked_fill(~visible, -torch.inf)
    out = scores.softmax(-1) @ leaves[2].repeat_interleave(case.group, 0)
    gradients = torch.autograd.grad(out, leaves, grad.double())
    return [out.detach(), scores.logsumexp(-1).detach(), *gradients]


def assert_close(name: str, actual: Tensor, expected: Tensor, norm: float | None = None) -> None:
    """The error relative to the norm of what is expected, or to another norm that errors arise from."""
    error = torch.linalg.vector_norm(actual.double() - expected)
    bound = TOLERANCE * max(float(torch.linalg.vector_norm(expected)), norm or 0.0)
    assert error <= bound, f"{name}: error {error}, at most {bound}"


def check_tiles(case: Case, bounds: list[int], backwards: bool) -> None:
    """The tiles between `bounds`, forward in order and backward in either, are the sequence as a whole."""
    torch.manual_seed(case.seed)
    heads = case.key_heads * case.group
    grad, query = (case.tensor(heads, case.tokens, margin=3) for _ in range(2))
    key, value = (case.tensor(case.key_heads, case.tokens, margin=5) for _ in range(2))
    out, grad_query = (case.tensor(heads, case.tokens) for _ in range(2))
    grad_key, grad_value = (case.tensor(case.key_heads, case.tokens) for _ in range(2))
    logsumexp = torch.full((heads, case.tokens), torch.nan)
    tiles = [slice(*pair) for pair in pairwise(bounds)]
    with attention(case.workers, case.isa, case.scale) as kernels:
        for tile in tiles:
            part = query[:, tile]
            scratch = kernels.scratch("forward", part, key, tile.start)
            kernels.forward(part, key, value, out[:, tile], logsumexp[:, tile], scratch, tile.start)
        written = 0
        for tile in reversed(tiles) if backwards else tiles:
            inputs = (grad[:, tile], query[:, tile], key, value, out[:, tile], logsumexp[:, tile])
            scratch = kernels.scratch("backward", query[:, tile], key, tile.start)
            gradients = (grad_query[:, tile], grad_key, grad_value)
            kernels.backward(inputs, gradients, scratch, tile.start, written)
            written = max(written, tile.stop)
    expected = reference(case, grad, query, key, value)
    assert_close("out", out, expected[0])
    assert_close("logsumexp", logsumexp, expected[1], norm=float(logsumexp.numel()) ** 0.5)
    # With few keys the gradients of query and key cancel (a single key's are 0); errors come from the terms,
    # which are sums over `dim` and whose rows no softmax averages.
    terms = float(grad.norm() * case.scale * value.norm() / value.numel() ** 0.5)
    terms *= (1 + case.dim / case.tokens) ** 0.5
    assert_close("grad_query", grad_query, expected[2], norm=terms)
    assert_close("grad_key", grad_key, expected[3], norm=terms)
    assert_close("grad_value", grad_value, expected[4])


@given(cases)
@settings(deadline=None, max_examples=100)
def test_sequence(case: Case) -> None:
    check_tiles(case, [0, case.tokens], backwards=False)


@given(cases, st.lists(st.integers(1, 200), max_size=4), st.booleans())
@settings(deadline=None, max_examples=100)
def test_tiles(case: Case, cuts: list[int], backwards: bool) -> None:
    inside = sorted({cut for cut in cuts if cut < case.tokens})
    check_tiles(case, [0, *inside, case.tokens], backwards)


@pytest.mark.parametrize("isa", available_isas())
def test_large_scores(isa: int) -> None:
    """Scores of some hundred neither overflow nor lose the row's sum."""
    case = Case(isa, 1, 1, 2, 64, 150, True, scale=3.0, seed=0)
    torch.manual_seed(case.seed)
    query, out = case.tensor(2, 150) * 5, case.tensor(2, 150)
    key, value = case.tensor(1, 150) * 5, case.tensor(1, 150)
    logsumexp = torch.empty(2, 150)
    with attention(case.workers, case.isa, case.scale) as kernels:
        kernels.forward(query, key, value, out, logsumexp, kernels.scratch("forward", query, key))
    expected = reference(case, out, query, key, value)
    assert expected[1].max() > 500
    assert torch.linalg.vector_norm(out - expected[0]) < 1e-3 * torch.linalg.vector_norm(expected[0])
    assert_close("logsumexp", logsumexp, expected[1])


@pytest.mark.parametrize("isa", available_isas())
def test_nan_is_seen(isa: int) -> None:
    """A NaN in a key reaches every query that sees it, and no other."""
    case = Case(isa, 1, 1, 1, 16, 100, False, scale=0.25, seed=0)
    query, key, value, out = (case.tensor(1, 100) for _ in range(4))
    key[0, 40, 3] = torch.nan
    with attention(case.workers, case.isa, case.scale) as kernels:
        kernels.forward(query, key, value, out, torch.empty(1, 100), kernels.scratch("forward", query, key))
    assert out[0, :40].isfinite().all() and out[0, 40:].isnan().all()


@pytest.mark.parametrize("isa", available_isas())
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_deterministic(isa: int, workers: int) -> None:
    case = Case(isa, workers, 2, 3, 64, 300, True, scale=0.125, seed=0)
    torch.manual_seed(case.seed)
    grad, query = case.tensor(6, 300), case.tensor(6, 300)
    key, value = case.tensor(2, 300), case.tensor(2, 300)
    runs = []
    with attention(case.workers, case.isa, case.scale) as kernels:
        for _ in range(3):
            out, logsumexp, grad_query = case.tensor(6, 300), torch.empty(6, 300), case.tensor(6, 300)
            gradients = (grad_query, case.tensor(2, 300), case.tensor(2, 300))
            kernels.forward(query, key, value, out, logsumexp, kernels.scratch("forward", query, key))
            inputs = (grad, query, key, value, out, logsumexp)
            kernels.backward(inputs, gradients, kernels.scratch("backward", query, key))
            runs.append((out, logsumexp, *gradients))
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_scratch_grows_with_tokens_only_by_delta() -> None:
    """Forward scratch does not depend on the tokens; backward holds one float a query and head more."""
    with attention(2, available_isas()[-1], 1.0) as kernels:
        sizes = {
            (direction, tokens): kernels.scratch(
                direction,
                torch.empty(4, 1, 64).expand(4, tokens, 64),
                torch.empty(2, 1, 64).expand(2, tokens, 64),
            ).numel()
            for direction in ("forward", "backward")
            for tokens in (256, 1024)
        }
    assert sizes["forward", 256] == sizes["forward", 1024]
    assert sizes["backward", 1024] - sizes["backward", 256] == 4 * (1024 - 256)
