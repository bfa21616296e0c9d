"""GGUF weights under Hugging Face names: values, row order, formats, refusals."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as GgmlType

from lowpeak_artifact.errors import ModelError
from lowpeak_artifact.quantized import QuantFormat
from lowpeak_compiler.frontend.model.gguf import GgufWeights
from lowpeak_compiler.frontend.model.gguf_file import GgufFile
from tests.model.tiny import gguf_name, tiny_model, write_gguf

TYPES = {
    "attn_q.weight": GgmlType.Q4_1,
    "attn_k.weight": GgmlType.Q8_0,
    "attn_v.weight": GgmlType.Q5_0,
    "attn_output.weight": GgmlType.F16,
    "ffn_gate.weight": GgmlType.Q4_0,
    "ffn_up.weight": GgmlType.BF16,
    "token_embd.weight": GgmlType.Q8_0,
}
FORMATS = {
    GgmlType.Q4_0: QuantFormat(4, 32, zero_point=False),
    GgmlType.Q4_1: QuantFormat(4, 32, zero_point=True),
    GgmlType.Q8_0: QuantFormat(8, 32, zero_point=False),
}


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_every_tensor_is_the_models_after_one_rounding(tmp_path: Path, kind: str) -> None:
    model = tiny_model(kind)
    write_gguf(tmp_path / "m.gguf", model, TYPES)
    weights = GgufWeights(GgufFile(tmp_path / "m.gguf"))
    parameters = dict(model.named_parameters())
    assert set(weights.names()) == set(parameters)
    for name, parameter in parameters.items():
        ggml_type = next((each for end, each in TYPES.items() if gguf_name(name).endswith(end)), GgmlType.F32)
        once = gguf.dequantize(gguf.quantize(parameter.detach().numpy(), ggml_type), ggml_type)
        exact = 0.0 if ggml_type != GgmlType.Q4_1 else 1e-6 * float(np.abs(once).max())
        assert torch.allclose(weights.dense(name), torch.from_numpy(once), rtol=0, atol=exact), name
        assert weights.shape(name) == tuple(parameter.shape)
        assert weights.format_of(name) == FORMATS.get(ggml_type)


def test_rows_of_quantized_q_and_k_are_in_transformers_order(tmp_path: Path) -> None:
    model = tiny_model()
    write_gguf(tmp_path / "m.gguf", model, TYPES)
    weights = GgufWeights(GgufFile(tmp_path / "m.gguf"))
    name = "model.layers.1.self_attn.k_proj.weight"
    straight = gguf.quantize(model.get_parameter(name).detach().numpy(), GgmlType.Q8_0)
    values = straight.reshape(32, 2, 34)[..., 2:].view(np.int8).reshape(32, 64)
    assert np.array_equal(weights.quantized(name).values().numpy(), values)


def test_only_formats_that_are_taken_over_come_quantized(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", tiny_model(), TYPES)
    weights = GgufWeights(GgufFile(tmp_path / "m.gguf"))
    with pytest.raises(ValueError, match="not stored in a format that is taken over"):
        weights.quantized("model.layers.0.self_attn.v_proj.weight")
    with pytest.raises(ModelError, match=r"m.gguf has no tensor model.layers.7.*nearest"):
        weights.dense("model.layers.7.self_attn.v_proj.weight")


def test_non_finite_scales_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, tiny_model(), TYPES)
    file = GgufFile(path)
    with path.open("r+b") as handle:
        handle.seek(file.tensors["blk.0.ffn_gate.weight"].offset)
        handle.write(np.float16(np.nan).tobytes())
    weights = GgufWeights(GgufFile(path))
    with pytest.raises(
        ModelError, match=r"scales of model.layers.0.mlp.gate_proj.weight has 1 NaN and 0 Inf"
    ):
        weights.dense("model.layers.0.mlp.gate_proj.weight")


def test_unknown_tensor_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_tensor("blk.0.ffn_gate_exps.weight", np.zeros((2, 32, 32), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"has a tensor blk.0.ffn_gate_exps.weight"):
        GgufWeights(GgufFile(tmp_path / "m.gguf"))
