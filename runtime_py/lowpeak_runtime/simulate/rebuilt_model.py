"""transformers' model and PEFT's adapter without weights, as a manifest's configs describe them.

The manifest may come from anywhere, so what the configs ask for is bounded: how many modules, how large their
buffers, and no code or kernels from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from peft import PeftConfig, PeftModel
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook
from transformers import AutoConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lowpeak_artifact.errors import ArtifactError, LowpeakError, summary
from lowpeak_artifact.manifest import Manifest
from lowpeak_compiler.frontend.causal_lm import with_lora
from lowpeak_compiler.frontend.model.complete import derived_buffers
from lowpeak_export.model_config import own_config
from lowpeak_export.portable import with_floats

PEFT_PREFIX = "base_model.model."
T = TypeVar("T")
_MODULES = 10_000
_MODULES_PER_WEIGHT = 64
"""Most that a model has: a LoRA is a dozen modules around one weight."""
_BUFFER_BYTES = 1 << 28
_REGULAR = ("target_modules", "exclude_modules", "layers_pattern")
_PATTERNS = ("rank_pattern", "alpha_pattern")
_MOST_REPETITIONS = 3


def rebuilt(manifest: Manifest) -> tuple[nn.Module, dict[str, Tensor]]:
    """The model on the meta device, with its adapter; and the buffers that its config determines, by name.

    Raises ArtifactError when the manifest's configs make none.
    """
    assert manifest.model_config is not None
    config = own_config(manifest.model_config)

    def built() -> tuple[nn.Module, dict[str, Tensor]]:
        with _bounded(manifest), torch.device("meta"):
            model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                AutoConfig.for_model(**config),
                dtype=torch.float32,
                attn_implementation="sdpa",
                trust_remote_code=False,
            )
        assert isinstance(model, PreTrainedModel)
        model.tie_weights()
        model.train(False)
        size = sum(buffer.nbytes for buffer in model.buffers())
        if size > _BUFFER_BYTES:
            raise ValueError(f"its buffers have {size} bytes, {_BUFFER_BYTES} are the most")
        buffers = derived_buffers(model)
        if manifest.adapter_config is None:
            return model, buffers
        adapted = with_adapter(model, manifest).eval()
        return adapted, {PEFT_PREFIX + name: value for name, value in buffers.items()}

    return _from_manifest(built)


def with_adapter(model: PreTrainedModel, manifest: Manifest) -> PeftModel:
    """Raises ArtifactError when the manifest's adapter does not fit the model."""
    assert manifest.adapter_config is not None
    config: dict[str, Any] = with_floats(manifest.adapter_config)

    def adapted() -> PeftModel:
        expressions = [config.get(key) for key in _REGULAR]
        expressions += [key for name in _PATTERNS for key in config.get(name) or ()]
        for each in expressions:
            _require_quick(each)
        with _bounded(manifest):
            return with_lora(model, PeftConfig.from_peft_type(**config))  # type: ignore[no-untyped-call]

    return _from_manifest(adapted)


def _require_quick(expression: object) -> None:
    """Raises ValueError for a regular expression that could take for ever on a module's name."""
    if not isinstance(expression, str):
        return
    bare = re.sub(r"\\.", "x", expression)
    if re.search(r"\)[*+{]", bare) or len(re.findall(r"[*+{]", bare)) > _MOST_REPETITIONS:
        raise ValueError(
            f"the adapter's config has the regular expression {expression[:100]!r}, which repeats too much: "
            "name the modules"
        )


@contextmanager
def _bounded(manifest: Manifest) -> Iterator[None]:
    """No more modules are made meanwhile than a model of so many weights has."""
    left = _MODULES + _MODULES_PER_WEIGHT * (len(manifest.weights) + len(manifest.parameters))

    def count(module: nn.Module, name: str, child: nn.Module | None) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("the config asks for more modules than there are weights for")

    hook = register_module_module_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _from_manifest(build: Callable[[], T]) -> T:
    """Raises ArtifactError, for the manifest's fields were the reason."""
    try:
        return build()
    except LowpeakError as error:
        raise ArtifactError(f"the model cannot be rebuilt from the artifact's manifest: {error}") from error
    except Exception as error:
        raise ArtifactError(
            f"the model cannot be rebuilt from the artifact's manifest: {summary(error)[:400]}; pass the "
            "model to compare with it (reference=)"
        ) from error
