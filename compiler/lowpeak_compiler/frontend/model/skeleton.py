"""A model of a config, on the meta device: no more of it than the checkpoint has tensors for.

The config says how many modules there are, the files how many there can be. A model that outgrows them is
stopped while it is built.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module as torch_module
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from lowpeak_artifact.errors import ModelError, summary

_PARAMETERS_A_TENSOR, _MODULES_A_TENSOR = 8, 64
_PARAMETERS, _MODULES = 2_000, 20_000
"""Beside those of the tensors: some models build what they throw away, and layers without a parameter."""


def build_skeleton(
    config: PretrainedConfig, where: str, *, tensors: int | None = None, trust_remote_code: bool = False
) -> PreTrainedModel:
    """float32, SDPA attention, no cache, eval mode. `where`: of the config, for messages.

    `tensors`: how many the checkpoint has, None for no bound. Raises ModelError when transformers cannot
    build it, or it has many more parameters.
    """
    config = copy.deepcopy(config)
    config.use_cache = False
    try:
        with torch.device("meta"), _bounded(tensors, f"{where}{_layers(config)}"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=trust_remote_code
            )
    except ModelError:
        raise
    # Whatever its code raises for numbers that do not go together.
    except Exception as error:
        named = [key for key, value in config.to_dict().items() if repr(value) == str(error)]
        keys = f" ({', '.join(named)})" if named else ""
        raise ModelError(f"{where} makes no {config.model_type} model: {summary(error)}{keys}") from error
    model.train(False)
    return model


def _layers(config: PretrainedConfig) -> str:
    count = getattr(config.get_text_config(), "num_hidden_layers", None)
    return "" if count is None else f" (num_hidden_layers = {count})"


@contextmanager
def _bounded(tensors: int | None, where: str) -> Iterator[None]:
    if tensors is None:
        yield
        return
    counted = _Counted(tensors, where)
    handles = [
        torch_module.register_module_parameter_registration_hook(counted.parameter),
        torch_module.register_module_buffer_registration_hook(counted.parameter),
        torch_module.register_module_module_registration_hook(counted.module),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Counted:
    """Counts what this thread registers with any module."""

    def __init__(self, tensors: int, where: str) -> None:
        self._tensors, self._where, self._thread = tensors, where, threading.get_ident()
        self._parameters = self._modules = 0

    def parameter(self, module: Any, name: str, value: Any) -> None:
        if threading.get_ident() == self._thread:
            self._parameters += 1
            self._require(self._parameters, _PARAMETERS_A_TENSOR * self._tensors + _PARAMETERS, "parameters")

    def module(self, module: Any, name: str, value: Any) -> None:
        if threading.get_ident() == self._thread:
            self._modules += 1
            self._require(self._modules, _MODULES_A_TENSOR * self._tensors + _MODULES, "modules")

    def _require(self, count: int, most: int, what: str) -> None:
        if count > most:
            raise ModelError(
                f"{self._where} makes a model of over {most} {what}, but only {self._tensors} tensors are "
                "stored: config and weights are of two models, or its numbers of layers or experts are wrong",
                most=most,
                tensors=self._tensors,
            )
