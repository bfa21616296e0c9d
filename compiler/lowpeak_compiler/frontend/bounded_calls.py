"""A bound of how often a model's forward calls its modules while it is traced.

Layers can be used many times (cycles, shared groups), as often as a number in the config says: no tensor of
the checkpoint bounds it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.nn.modules import module as torch_module

from lowpeak_artifact.errors import ModelError

CALLS_A_MODULE, CALLS = 20, 2_000


@contextmanager
def bounded_calls(model: nn.Module) -> Iterator[None]:
    """Raises ModelError when this thread calls modules much more often than `model` has some."""
    modules = sum(1 for _ in model.modules())
    most, thread, calls = CALLS_A_MODULE * modules + CALLS, threading.get_ident(), 0

    def count(module: nn.Module, inputs: Any) -> None:
        nonlocal calls
        if threading.get_ident() != thread:
            return
        calls += 1
        if calls > most:
            raise ModelError(
                f"the forward calls its {modules} modules over {most} times: a number of cycles or layers in "
                "the config is wrong, or the model is a loop too long to be compiled",
                modules=modules,
                most=most,
            )

    handle = torch_module.register_module_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()
