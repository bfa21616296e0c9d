"""Which modules in memory can be compiled: plain float tensors, all here."""

from __future__ import annotations

from torch import Tensor, nn
from torch._dynamo.eval_frame import OptimizedModule
from transformers import PreTrainedModel

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.source import require_float

_PLAIN = (Tensor, nn.Parameter)
_PACKED = ("qweight", "qzeros", "W_q", "weight_packed", "weight_scale_inv")
"""Names under which quantizers keep their integers and scales."""


def unwrapped(module: nn.Module) -> nn.Module:
    """The module in torch.compile's and the data-parallel wrappers, which compute the same."""
    while True:
        if isinstance(module, OptimizedModule):
            module = module._orig_mod
        elif isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        else:
            return module


def require_plain(module: nn.Module, base: nn.Module | None = None) -> None:
    """Raises ModelError for quantized, sharded or offloaded weights, with what to pass in their place.

    `base`: the Hugging Face model in `module`, if that is not `module` itself.
    """
    model = base if base is not None else module
    if isinstance(model, PreTrainedModel):
        require_float(model.config, model.name_or_path or type(model).__name__)
    tensors = [*module.named_parameters(), *module.named_buffers()]
    for name, tensor in tensors:
        kind = type(tensor)
        if kind not in _PLAIN or type(tensor.data) not in _PLAIN:
            shown = kind if kind not in _PLAIN else type(tensor.data)
            raise ModelError(f"{name} is a {shown.__module__}.{shown.__name__}, {_advice(shown)}")
        if hasattr(tensor, "ds_id"):
            raise ModelError(f"{name} is a part of a DeepSpeed ZeRO model, {_SHARDED}")
        if isinstance(model, PreTrainedModel) and _is_packed(name, tensor):
            raise ModelError(f"{name} holds quantized weights ({tensor.dtype}), {_QUANTIZED}")
        if tensor.is_meta and hasattr(_owner(module, name), "_hf_hook"):
            raise ModelError(
                f"{name} is offloaded by accelerate (device_map): load the model with device_map='cpu', or "
                "give its checkpoint folder, which is read tensor by tensor"
            )


_QUANTIZED = (
    "which lowpeak does not read: give the float model, whose frozen matrices it quantizes itself, or a "
    ".gguf file"
)
_SHARDED = (
    "of which each process holds a piece: gather the model into one process first, or give its checkpoint "
    "folder"
)


def _advice(kind: type) -> str:
    return _SHARDED if "distributed" in kind.__module__ else _QUANTIZED


def _is_packed(name: str, tensor: Tensor) -> bool:
    whole = isinstance(tensor, nn.Parameter) and not (tensor.is_floating_point() or tensor.is_complex())
    return whole or name.rsplit(".", 1)[-1] in _PACKED


def _owner(module: nn.Module, name: str) -> nn.Module:
    return module.get_submodule(name.rpartition(".")[0])
