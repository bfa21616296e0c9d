"""The weights of a GGUF file under Hugging Face names, quantized blocks taken over as they are."""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor
from transformers import PretrainedConfig

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from lowpeak_compiler.frontend.model import gguf_config
from lowpeak_compiler.frontend.model.ggml_blocks import TAKEOVERS, Takeover
from lowpeak_compiler.frontend.model.gguf_file import GgufFile, import_gguf
from lowpeak_compiler.frontend.model.weights import require_finite, require_name

_ROPE_FACTORS = "rope_freqs.weight"

_MODULES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER_MODULES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TENSOR_NAME = re.compile(r"(?:blk\.(?P<layer>\d+)\.)?(?P<module>\w+)\.(?P<kind>weight|bias)")


class GgufWeights:
    """A `WeightSource` over a GGUF file of a llama or qwen2 model.

    Q4_0, Q4_1 and Q8_0 matrices keep their integers and scales; a scale can be negative there. Every other
    GGML type is dequantized by the gguf package. Raises ModelError for another architecture or tensor.
    """

    def __init__(self, file: GgufFile) -> None:
        self._file = file
        self._permuted = gguf_config.architecture(file) == "llama"
        self._stored_name = {_hf_name(name, file): name for name in file.tensors if name != _ROPE_FACTORS}
        self.config: PretrainedConfig = gguf_config.read_config(file, self._rope_factors())

    def names(self) -> Collection[str]:
        return self._stored_name.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return self._file.tensors[self._resolve(name)].shape

    def format_of(self, name: str) -> QuantFormat | None:
        takeover = self._takeover(name)
        return None if takeover is None else takeover.format

    def dense(self, name: str) -> Tensor:
        if self._takeover(name) is not None:
            return self.quantized(name).dequantize()
        tensor = require_finite(name, _dequantize(self._file, self._resolve(name)))
        order = self._row_order(name)
        return tensor if order is None else tensor[order]

    def quantized(self, name: str) -> QuantizedTensor:
        takeover = self._takeover(name)
        if takeover is None:
            raise ValueError(f"{name} is not stored in a format that is taken over")
        blocks = self._file.blocks(self._resolve(name))
        order = self._row_order(name)
        tensor = takeover.convert(blocks if order is None else blocks[order.numpy()])
        require_finite(f"the scales of {name}", tensor.scale)
        if tensor.zero_point is not None:
            require_finite(f"the zero points of {name}", tensor.zero_point)
        return tensor

    def _row_order(self, name: str) -> Tensor | None:
        """The rows of the stored tensor in the order that transformers wants, None for as they are.

        llama.cpp interleaves the two halves of each head's rotary pairs in the q and k rows of a llama; as
        whole rows move, no quantized block is touched.
        """
        heads = {
            "q_proj": self.config.num_attention_heads,
            "k_proj": self.config.num_key_value_heads,
        }.get(name.split(".")[-2])
        if heads is None or not self._permuted:
            return None
        rows = self.shape(name)[0]
        return torch.arange(rows).view(heads, rows // heads // 2, 2).transpose(1, 2).reshape(-1)

    def _rope_factors(self) -> Tensor | None:
        return _dequantize(self._file, _ROPE_FACTORS) if _ROPE_FACTORS in self._file.tensors else None

    def _takeover(self, name: str) -> Takeover | None:
        tensor = self._file.tensors[self._resolve(name)]
        return TAKEOVERS.get(tensor.type.name) if len(tensor.shape) == 2 else None

    def _resolve(self, name: str) -> str:
        require_name(name, self._stored_name, self._file.path.name)
        return self._stored_name[name]


def _dequantize(file: GgufFile, stored_name: str) -> Tensor:
    """The tensor as float32. Raises ModelError for a GGML type that the gguf package cannot dequantize."""
    kind = file.tensors[stored_name].type
    try:
        values = import_gguf().dequantize(file.blocks(stored_name), kind)
    except NotImplementedError as error:
        raise ModelError(f"{stored_name} of {file.path} has the type {kind.name}: {error}") from error
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _hf_name(stored_name: str, file: GgufFile) -> str:
    match = _TENSOR_NAME.fullmatch(stored_name)
    modules = _MODULES if match is None or match["layer"] is None else _LAYER_MODULES
    if match is None or match["module"] not in modules:
        raise ModelError(f"{file.path} has a tensor {stored_name}, which no llama or qwen2 model of ours has")
    layer = "" if match["layer"] is None else f"model.layers.{match['layer']}."
    return f"{layer}{modules[match['module']]}.{match['kind']}"
