"""What no model can have in its config.json is refused with the file and the key, before modules."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import BambaConfig, LlamaConfig

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.model.config_file import MOST_CONFIG_BYTES, read_config, require_sound
from lowpeak_compiler.frontend.model.source import open_model
from tests.model.tiny import tiny_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model().save_pretrained(tmp_path)
    return tmp_path


def change(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_hidden_layers": 10**12}, "num_hidden_layers is 1000000000000: it may be at most 16777216"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000: it may be at most 20000"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0: it must be at least 1"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True: it must be a number"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0: it must be at least 1"),
        ({"num_key_value_heads": -2}, "num_key_value_heads is -2: it must not be negative"),
        ({"vocab_size": 10**12}, "vocab_size is 1000000000000: it may be at most 16777216"),
        ({"vocab_size": 10**30}, "vocab_size is 1000000000000000000000000000000: it may be at most"),
        ({"max_position_embeddings": 10**9}, "max_position_embeddings is 1000000000: it may be at most"),
        ({"text_config": {"num_layers": 10**6}}, "text_config.num_layers is 1000000: it may be at most"),
        ({"rms_norm_eps": 0}, "rms_norm_eps is 0: it must be over 0, and at most 1"),
        ({"rms_norm_eps": NAN}, "rms_norm_eps is nan: it must be finite"),
        ({"rms_norm_eps": {"__float__": "NaN"}}, "rms_norm_eps is nan: it must be finite"),
        ({"rms_norm_eps": -1e-6}, "rms_norm_eps is -1e-06: it must be over 0"),
        ({"rms_norm_eps": "1e-6"}, "rms_norm_eps is '1e-6': it must be a number"),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 0}}, "rope_parameters.rope_theta is 0"),
        ({"rope_theta": -1.0}, "rope_theta is -1.0: it must be over 0"),
        (
            {"rope_scaling": {"type": "linear", "factor": INF}},
            "rope_scaling.factor is inf: it must be finite",
        ),
        ({"rope_scaling": {"type": "linear", "factor": 0}}, "rope_scaling.factor is 0: it must be over 0"),
        ({"rope_scaling": {"short_factor": [1.0, 0.0]}}, r"rope_scaling.short_factor\[1\] is 0.0"),
        ({"residual_multiplier": 0}, "residual_multiplier is 0: it must be over 0"),
        ({"attention_dropout": NAN}, "attention_dropout is nan: it must be finite"),
        ({"architectures": [1]}, r"architectures is \[1\]: it must be a list of names"),
        ({"model_type": {"a": 1}}, r"model_type is \{'a': 1\}: it must be a name"),
        ({"configuration_files": ["config.4.0.0.json"]}, "keeps the config in other files"),
        ({"_attn_implementation": "org/kernel"}, "is 'org/kernel', code of a hub repository"),
        ({"text_config": {"attn_implementation": "org/kernel"}}, "text_config.attn_implementation is"),
        ({"hidden_size": "64"}, "hidden_size' expected int, got str"),
        ({"hidden_size": None}, "hidden_size' expected int, got NoneType"),
        ({"hidden_size": [[64]]}, "hidden_size' expected int, got list"),
        ({"hidden_act": "nope"}, r"makes no llama model: KeyError: 'nope' \(hidden_act\)"),
        ({"layer_types": ["full_attention"] * 5}, "layer_types"),
        ({"dtype": "no-such"}, "config.json"),
    ],
)
def test_refused_with_the_key(folder: Path, changes: dict[str, Any], message: str) -> None:
    change(folder, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        open_model(folder)
    assert str(folder / "config.json") in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1, "a": 2}', "the name 'a' is in one object twice"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply to be read"),
        (b'{"a": ' + b"9" * 5000 + b"}", "cannot be read as JSON: Exceeds the limit"),
        (b'{"a": "\xff"}', "cannot be read as JSON: 'utf-8' codec"),
        (b'{"a": "\\ud800"}', "cannot be read as JSON: .* surrogates not allowed"),
        (b'{"a": [' + b"[]," * 600_000 + b"[]]}", "has 600003 lists and objects, at most 500000"),
        (b"[]", "it holds a list, not an object"),
        (b'{"a": "' + b" " * MOST_CONFIG_BYTES + b'"}', "has over 4000000 bytes, the most that is read"),
    ],
    ids=["twice", "deep", "digits", "utf-8", "surrogate", "lists", "no object", "large"],
)
def test_files_that_hold_no_config(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_config(tmp_path, trust_remote_code=False)


def test_layers_beyond_the_tensors_are_not_built(folder: Path) -> None:
    change(folder, num_hidden_layers=20_000)
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"num_hidden_layers = 20000\) makes a model of over \d+ parameters"):
        open_model(folder)
    assert time.monotonic() - started < 20


def test_sizes_that_are_not_the_tensors_are_named(folder: Path) -> None:
    change(folder, vocab_size=1 << 24)
    with pytest.raises(ModelError, match=r"\[96, 64\] in the checkpoint but \[16777216, 64\] by its config"):
        open_model(folder)
    change(folder, vocab_size=96, max_position_embeddings=1 << 24)
    open_model(folder)


def test_a_trusted_config_may_name_kernels(folder: Path) -> None:
    change(folder, _attn_implementation="org/kernel")
    read_config(folder, trust_remote_code=True)


@pytest.mark.parametrize("config", [LlamaConfig(), LlamaConfig(rope_theta=10**9), BambaConfig()])
def test_sound_configs_are_taken(config: Any) -> None:
    require_sound(json.loads(config.to_json_string(use_diff=False)), "config.json")
