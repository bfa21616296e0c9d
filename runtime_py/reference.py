"""The step that an artifact is compared with: the model in eager PyTorch, on the same quantized weights.

It shares no graph, no pass and no attention with the compiler: transformers' own model with PEFT's adapter,
stock attention, torch's autograd. The weights are those of the artifact, dequantized.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from peft import PeftConfig
from torch import Tensor, nn
from torch.func import functional_call
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from compiler.causal_lm import CausalLMLoss, with_lora
from compiler.errors import ArtifactError, ModelError
from compiler.model.complete import derived_buffers
from export.artifact import Artifact
from export.manifest import Manifest

LOSS_PREFIX = "model."
"""Of the model's names inside CausalLMLoss."""
PEFT_PREFIX = "base_model.model."
_PARTS = ("data", "scale", "zero_point")


def reference_step(
    artifact: Artifact,
    batch: Mapping[str, Tensor],
    adapter: Mapping[str, Tensor],
    module: nn.Module | None = None,
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients by parameter name. `batch` as a user gives it; `adapter`: values of what is trained.

    `module` stands for the model where the artifact cannot rebuild it; it gives its scalar loss for
    `module(**batch)`, or is a causal LM if the artifact's batches are. Its quantized parameters and its
    trained ones are replaced by the artifact's for this call, the rest is as the module has it. The loss is
    the exact one, on every label, even if the artifact's is not. Raises ModelError when the module lacks a
    parameter.
    """
    manifest = artifact.manifest
    spec = manifest.bucket_of(batch).batch
    if module is None:
        module, frozen = eager_model(artifact)
    else:
        frozen = _dequantized(artifact)
    trained = {name: value.clone().requires_grad_() for name, value in adapter.items()}
    names = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    missing = sorted(name for name in (*trained, *_quantized_names(manifest)) if name not in names)
    if missing:
        raise ModelError(f"the reference module has no parameter {missing[0]}; it is not what was compiled")
    values = {**frozen, **trained}
    inputs = dict(batch)
    if spec.causal_lm:
        module = CausalLMLoss(module)
        values = {LOSS_PREFIX + name: value for name, value in values.items()}
        inputs = dataclasses.replace(spec, rows=None, subset_size=None).graph_inputs(batch)
    loss = functional_call(module, values, (), inputs)
    gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    return loss.item(), {
        name: torch.zeros_like(value) if gradient is None else gradient
        for (name, value), gradient in zip(trained.items(), gradients, strict=True)
    }


def eager_model(artifact: Artifact) -> tuple[nn.Module, dict[str, Tensor]]:
    """transformers' model with PEFT's adapter, without weights; and its frozen tensors by name, float32.

    Raises ArtifactError when the manifest does not say how to build it.
    """
    module, buffers = _rebuilt(artifact.manifest)
    return module, {**_dense(artifact), **_dequantized(artifact), **buffers}


def _rebuilt(manifest: Manifest) -> tuple[nn.Module, dict[str, Tensor]]:
    """The model without weights, with its adapter; and the buffers that its config determines, by name."""
    assert manifest.model_config is not None
    try:
        config = AutoConfig.for_model(**manifest.model_config)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, dtype=torch.float32, attn_implementation="sdpa", trust_remote_code=False
            )
        model.tie_weights()
        model.eval()
        buffers = derived_buffers(model)
        if manifest.adapter_config is None:
            return model, buffers
        adapter = PeftConfig.from_peft_type(**manifest.adapter_config)  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError(f"the model cannot be rebuilt from the artifact's manifest: {error}") from error
    return with_lora(model, adapter).eval(), {PEFT_PREFIX + name: value for name, value in buffers.items()}


def _quantized_names(manifest: Manifest) -> list[str]:
    return [record.name for record in manifest.quantized]


def _dense(artifact: Artifact) -> dict[str, Tensor]:
    parts = {f"{name}.{part}" for name in _quantized_names(artifact.manifest) for part in _PARTS}
    return {
        record.name: artifact.tensor(record.name)
        for record in artifact.manifest.weights
        if record.name not in parts
    }


def _dequantized(artifact: Artifact) -> dict[str, Tensor]:
    """Every quantized parameter as float32."""
    values = {}
    for name in _quantized_names(artifact.manifest):
        matrix = artifact.quantized(name)
        assert matrix is not None
        values[name] = matrix.dequantize()
    return values
