"""One call of an operator on hard operands, and how far from float64 its result may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils._pytree import tree_map, tree_map_only

INF, NAN = float("inf"), float("nan")
GENERATOR = torch.Generator().manual_seed(0)
SMALLEST_NORMAL = torch.finfo(torch.float32).tiny
Error = Literal["each", "terms", "largest"]
TOLERANCE: dict[Error, float] = {"each": 5e-7, "terms": 2e-6, "largest": 1e-5}
"""each: of every value by itself, some float32 roundings of 6e-8.

terms: of the sum of the absolute terms. The kernels have one accumulator, with a random walk of roundings.

largest: of the largest value of the result, for what has several roundings and cancels: norms, interpolation.
"""
LONG = 2e-5
"""For sums of 100,000 terms, whose roundings have one direction where all terms are of one sign."""


@dataclass(frozen=True)
class Case:
    """`operator(*args, **kwargs)`; the tensors among the arguments are inputs of the graph."""

    operator: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)
    error: Error = "each"
    tolerance: float | None = None
    least: float = SMALLEST_NORMAL
    """What errors are relative to at least."""

    def __str__(self) -> str:
        def shown(value: Any) -> Any:
            return f"{str(value.dtype)[6:]}{list(value.shape)}"

        args, kwargs = tree_map_only(Tensor, shown, (self.args, self.kwargs))
        named = [f"{name}={value}" for name, value in kwargs.items()]
        return f"{str(self.operator).removesuffix('.default')}({', '.join([*map(str, args), *named])})"

    def check(self, actual: Sequence[Tensor]) -> None:
        """Type, shape and values are torch's; floats within the tolerance of float64, other types equal."""
        eager = self._call(lambda value: value)
        exact = self._call(_double)
        terms = self._call(_absolute) if self.error == "terms" else exact
        assert len(actual) == len(eager)
        for result, expected, precise, size in zip(actual, eager, exact, terms, strict=True):
            assert (result.dtype, result.shape) == (expected.dtype, expected.shape), str(self)
            if not (result.is_floating_point() or result.is_complex()):
                assert torch.equal(result, expected), f"{self}: {result} for {expected}"
                continue
            if result.is_complex():
                result, precise, size = map(torch.view_as_real, (result, precise, size))
            self._compare(result, precise.to(torch.float64), size.to(torch.float64))

    def _compare(self, result: Tensor, precise: Tensor, size: Tensor) -> None:
        expected = precise.to(result.dtype)
        regular = expected.isfinite()
        assert torch.equal(result.isnan(), expected.isnan()), f"{self}: NaN in {result} for {expected}"
        assert torch.equal(result[expected.isinf()], expected[expected.isinf()]), str(self)
        if not regular.any():
            return
        size = size.abs()[regular]
        size = size.max() if self.error == "largest" else size
        error = (result.to(torch.float64) - precise)[regular].abs()
        # Results below the normal numbers may be zero.
        error = (error - SMALLEST_NORMAL).clamp(min=0) / size.clamp(min=self.least)
        worst = int(error.argmax())
        assert error.max() <= (self.tolerance or TOLERANCE[self.error]), (
            f"{self}: {result[regular][worst]:.9g} for {precise[regular][worst]:.9g}, off by "
            f"{error.max():.2g}"
        )

    def _call(self, change: Callable[[Any], Any]) -> tuple[Tensor, ...]:
        args, kwargs = tree_map(change, (self.args, self.kwargs))
        result = self.operator(*args, **kwargs)
        return (result,) if isinstance(result, Tensor) else tuple(result)


def _double(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype in (torch.float32, torch.complex64):
        return value.to(torch.float64 if value.dtype == torch.float32 else torch.complex128)
    return torch.float64 if value is torch.float32 else value


def _absolute(value: Any) -> Any:
    value = _double(value)
    floating = isinstance(value, float) or (isinstance(value, Tensor) and value.is_floating_point())
    return abs(value) if floating else value


def case(operator: Callable[..., Any], *args: Any, **kwargs: Any) -> Case:
    return Case(operator, args, kwargs)


def terms(operator: Callable[..., Any], *args: Any, tolerance: float | None = None, **kwargs: Any) -> Case:
    """A sum: compared with the sum of its absolute terms."""
    return Case(operator, args, kwargs, "terms", tolerance)


def largest(
    operator: Callable[..., Any],
    *args: Any,
    tolerance: float | None = None,
    least: float = SMALLEST_NORMAL,
    **kwargs: Any,
) -> Case:
    """Compared with the largest value of the result."""
    return Case(operator, args, kwargs, "largest", tolerance, least)


def floats(*shape: int) -> Tensor:
    return torch.randn(shape, generator=GENERATOR)


def integers(low: int, high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
    return torch.randint(low, high, shape, generator=GENERATOR).to(dtype)


def by_operator(cases: Iterable[Case]) -> dict[object, list[Case]]:
    table: dict[object, list[Case]] = {}
    for each in cases:
        table.setdefault(each.operator, []).append(each)
    return table


Cases = Iterator[Case]
