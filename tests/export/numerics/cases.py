"""All cases, by operator."""

from __future__ import annotations

from itertools import chain

from tests.export.numerics import elementwise, images, layout, products, reductions
from tests.export.numerics.case import by_operator

CASES = by_operator(
    chain.from_iterable(group.cases() for group in (elementwise, reductions, products, layout, images))
)
