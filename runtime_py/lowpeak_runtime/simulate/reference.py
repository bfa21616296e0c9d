"""The step that an artifact is compared with: the model in eager PyTorch.

It shares no graph, no pass and no attention with the compiler: transformers' own model with PEFT's adapter,
stock attention, torch's autograd. Whose weights it has, lowpeak_runtime/simulate/reference_model.py says.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ModelError, summary
from lowpeak_compiler.frontend.causal_lm import CausalLMLoss
from lowpeak_runtime.simulate.reference_model import Reference, own_weights

LOSS_PREFIX = "model."
"""Of the model's names inside CausalLMLoss."""


def reference_step(
    artifact: Artifact,
    batch: Mapping[str, Tensor],
    adapter: Mapping[str, Tensor],
    reference: Reference | None = None,
) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients by parameter name. `batch` as a user gives it; `adapter`: values of what is trained.

    `reference`: by default the artifact's own weights. Its trained parameters are replaced by the artifact's
    for this call. The loss is the exact one, on every label, even if the artifact's is not. Raises ModelError
    when the module lacks a parameter.
    """
    spec = artifact.manifest.bucket_of(batch).batch
    reference = reference or own_weights(artifact)
    module = reference.module
    trained = {name: value.clone().requires_grad_() for name, value in adapter.items()}
    names = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    missing = sorted(name for name in trained if name not in names)
    if missing:
        raise ModelError(f"the reference module has no parameter {missing[0]}; it is not what was compiled")
    values = {**reference.frozen, **trained}
    inputs = dict(batch)
    if spec.causal_lm:
        module = CausalLMLoss(module)
        values = {LOSS_PREFIX + name: value for name, value in values.items()}
        inputs = dataclasses.replace(spec, rows=None, subset_size=None).graph_inputs(batch)
    try:
        loss = functional_call(module, values, (), inputs)
        gradients = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    # Whatever the model raises is about tensors that do not fit its config.
    except Exception as error:
        raise ModelError(
            f"the reference ({reference.words}) cannot be run with the artifact's tensors: "
            f"{summary(error)[:400]}; it is not what was compiled"
        ) from error
    return loss.item(), {
        name: torch.zeros_like(value) if gradient is None else gradient
        for (name, value), gradient in zip(trained.items(), gradients, strict=True)
    }
