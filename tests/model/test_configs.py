"""Known configs have the parameter counts of the published models."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.configs import known_config, known_names

PARAMETERS = {
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "tinyllama-1.1b": 1_100_048_384,
    "smollm2-135m": 134_515_008,
}


@pytest.mark.parametrize("name", known_names())
def test_parameter_count(name: str) -> None:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(known_config(name))
    assert sum(each.numel() for each in model.parameters()) == PARAMETERS[name]


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        ModelError, match=r"unknown model config:gpt-5; known are llama-3.2-1b, .*smollm2-135m"
    ):
        known_config("gpt-5")


def test_the_first_layers_of_one() -> None:
    whole, cut = known_config("qwen2.5-0.5b"), known_config("qwen2.5-0.5b@2")
    assert cut.num_hidden_layers == 2
    assert cut.hidden_size == whole.hidden_size
    with torch.device("meta"):
        assert len(AutoModelForCausalLM.from_config(cut).model.layers) == 2


@pytest.mark.parametrize("layers", ["0", "25", "two", ""])
def test_layers_that_it_does_not_have(layers: str) -> None:
    with pytest.raises(ModelError, match=r"qwen2\.5-0\.5b has 1 to 24 layers"):
        known_config(f"qwen2.5-0.5b@{layers}")
