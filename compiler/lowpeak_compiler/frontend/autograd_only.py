"""Gradients that a model sets itself, which an exported forward knows nothing of: refused, for it would be
trained by others.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from torch import Tensor, nn
from torch.autograd.function import _SingleLevelFunction

from lowpeak_artifact.errors import ModelError

ADVICE = (
    "torch.export keeps only what the forward computes, so the model would be trained by another gradient; "
    "write it with operators whose own gradient is the right one, as x + (f(x) - x).detach() is for one that "
    "passes through f"
)
OF_OPERATORS = "GeneratedBackwardFor_"
WITH_THE_SAME_GRADIENT = frozenset({"transformers.models.bloom.modeling_bloom.GeLUFunction"})
"""Whose written backward is that of their forward, as the sweep over all types tests."""


def require_no_hooks(module: nn.Module) -> None:
    """Raises ModelError for a parameter whose gradient is changed by a hook."""
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if parameter._backward_hooks or getattr(parameter, "_post_accumulate_grad_hooks", None):
            raise ModelError(f"{name} has a hook that sees its gradient: {ADVICE}")


@contextmanager
def refusing_own_gradients() -> Iterator[None]:
    """Raises ModelError when the code within uses an autograd.Function of its own, or hooks of tensors or
    modules that see gradients.
    """

    def function(cls: type, *operands: Any) -> Any:
        # An operator of torch.library stays one in the graph and has its gradient with it.
        known = f"{cls.__module__}.{cls.__qualname__}" in WITH_THE_SAME_GRADIENT
        if known or cls.__name__.startswith(OF_OPERATORS):
            return super(_SingleLevelFunction, cls).apply(*operands)  # type: ignore[misc]
        raise ModelError(f"{cls.__name__} of the model has a backward of its own: {ADVICE}")

    def hook(tensor: Tensor, *_: Any, **__: Any) -> NoReturn:
        raise ModelError(f"the model hooks into the gradient of a tensor {list(tensor.shape)}: {ADVICE}")

    # Below Function, whose own `apply` a model may have bound before: `straight_through = Round.apply`.
    below: Any = _SingleLevelFunction
    register = Tensor.register_hook
    below.apply = classmethod(function)
    Tensor.register_hook = hook  # type: ignore[assignment]
    try:
        yield
    finally:
        del below.apply
        Tensor.register_hook = register  # type: ignore[method-assign]
