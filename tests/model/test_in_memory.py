"""Quantized, sharded and offloaded models are refused with what to pass; wrappers are looked into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload
from peft import LoraConfig, get_peft_model, inject_adapter_in_model
from torch import nn
from torchao.quantization import Int8WeightOnlyConfig, quantize_
from transformers import BitsAndBytesConfig, LlamaConfig, LlamaForSequenceClassification, PreTrainedModel

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.intake import take_in
from lowpeak_compiler.frontend.model.in_memory import unwrapped
from tests.model.tiny import tiny_model


def _take_in(model: nn.Module) -> None:
    take_in(model, seq_len=8, batch_size=1, lora=None, example_batch=None, seed=0)


def _torchao(model: PreTrainedModel) -> None:
    quantize_(model, Int8WeightOnlyConfig())


def _bitsandbytes(model: PreTrainedModel) -> None:
    # What transformers leaves in the config of a model that it loads so.
    model.config.quantization_config = BitsAndBytesConfig(load_in_4bit=True)


def _packed(model: PreTrainedModel) -> None:
    layer = model.model.layers[0].mlp
    layer.up_proj = nn.Module()
    layer.up_proj.register_buffer("qweight", torch.zeros(8, 128, dtype=torch.int32))


def _integers(model: PreTrainedModel) -> None:
    weight = torch.zeros(128, 64, dtype=torch.uint8)
    model.model.layers[0].mlp.up_proj.weight = nn.Parameter(weight, requires_grad=False)


def _offloaded(model: PreTrainedModel) -> None:
    cpu_offload(model)


def _injected(model: PreTrainedModel) -> None:
    inject_adapter_in_model(LoraConfig(r=4, target_modules=["q_proj"]), model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _torchao,
            r"q_proj.weight is a torchao\..*Tensor, which lowpeak does not read: give the float model",
        ),
        (_bitsandbytes, r"is quantized already, by bitsandbytes: give its float checkpoint"),
        (_packed, r"up_proj.qweight holds quantized weights \(torch.int32\), which lowpeak does not read"),
        (_integers, r"up_proj.weight holds quantized weights \(torch.uint8\), which lowpeak does not read"),
        (_injected, r"layers.0.self_attn.q_proj has an adapter already, added by inject_adapter_in_model"),
        (_offloaded, r"embed_tokens.weight is offloaded by accelerate .*device_map='cpu'"),
    ],
)
def test_weights_that_are_not_plain(change: Callable[[PreTrainedModel], None], message: str) -> None:
    model = tiny_model()
    change(model)
    with pytest.raises(ModelError, match=message):
        _take_in(model)


def test_the_base_of_a_peft_model_counts_too() -> None:
    model = get_peft_model(tiny_model(), LoraConfig(target_modules=["q_proj"]))
    _torchao(model.get_base_model().model.layers[1].mlp)
    with pytest.raises(ModelError, match=r"mlp.gate_proj.weight is a torchao"):
        _take_in(model)


def test_a_sharded_parameter(tmp_path: Path) -> None:
    from torch.distributed import destroy_process_group, init_process_group
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    init_process_group("gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1)
    try:
        model = fully_shard(tiny_model(), mesh=init_device_mesh("cpu", (1,)))
        with pytest.raises(ModelError, match=r"is a torch.distributed.*DTensor, of which each process holds"):
            _take_in(model)
    finally:
        destroy_process_group()


def test_a_merged_adapter() -> None:
    model = get_peft_model(tiny_model(), LoraConfig(target_modules=["q_proj"]))
    model.merge_adapter()
    with pytest.raises(
        ModelError, match=r"is merged into 2 layers, first .*q_proj: unmerge_adapter\(\) first"
    ):
        _take_in(model)


def test_compiled_and_data_parallel_modules_are_what_they_wrap() -> None:
    model = tiny_model()
    assert unwrapped(torch.compile(model)) is model
    assert unwrapped(nn.DataParallel(torch.compile(model))) is model
    _take_in(torch.compile(model))


def test_a_model_without_a_head_is_refused_before_it_gets_an_adapter() -> None:
    model = tiny_model()
    classifier = LlamaForSequenceClassification(LlamaConfig(**model.config.to_dict()))
    for headless in (classifier, model.model):
        with pytest.raises(ModelError, match=f"^{type(headless).__name__} is not a causal language model"):
            _take_in(headless)


def test_lora_on_parameters_is_refused() -> None:
    lora = LoraConfig(r=4, target_modules=[], target_parameters=["mlp.up_proj.weight"])
    for model, given in ((tiny_model(), lora), (get_peft_model(tiny_model(), lora), None)):
        with pytest.raises(ModelError, match=r"target_parameters=\['mlp.up_proj.weight'\]\) is not"):
            take_in(model, seq_len=8, batch_size=1, lora=given, example_batch=None, seed=0)
