"""Models of a manifest's configs: what they may ask for has bounds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.manifest import Manifest
from lowpeak_runtime.simulate.rebuilt_model import rebuilt
from tests.tiny import planned_step, tiny_llama, write_artifact


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("rebuilt") / "artifact"
    return Artifact.open(write_artifact(folder, planned_step(tiny_llama(num_hidden_layers=1)))).manifest


def _with(manifest: Manifest, config: dict[str, Any] | None = None, adapter: Any = None) -> Manifest:
    assert manifest.model_config is not None and manifest.adapter_config is not None
    return dataclasses.replace(
        manifest,
        model_config=manifest.model_config | (config or {}),
        adapter_config=manifest.adapter_config | (adapter or {}),
    )


def test_the_compiled_model_is_rebuilt(manifest: Manifest) -> None:
    module, _ = rebuilt(manifest)
    names = dict(module.named_parameters())
    assert all(record.name in names for record in manifest.parameters)


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers of the model's config is 1000000000, over 20000"),
        ({"num_hidden_layers": 9999}, "more modules than there are weights for"),
        ({"num_hidden_layers": -1}, "cannot be rebuilt"),
        ({"num_hidden_layers": "two"}, "cannot be rebuilt"),
        ({"head_dim": 1 << 40}, "cannot be rebuilt"),
        ({"model_type": "unheard-of"}, "cannot be rebuilt"),
        ({"rope_parameters": {"rope_type": 3}}, "cannot be rebuilt"),
    ],
)
def test_configs_of_no_such_model_are_refused(config: dict[str, Any], fault: str, manifest: Manifest) -> None:
    with pytest.raises(ArtifactError, match=fault):
        rebuilt(_with(manifest, config))


@pytest.mark.parametrize("key", ["auto_map", "_attn_implementation", "quantization_config"])
def test_what_names_code_is_left_out(key: str, manifest: Manifest) -> None:
    value: Any = "org/kernels" if "attn" in key else {"AutoModelForCausalLM": "code.Model"}
    rebuilt(_with(manifest, {key: value}))


@pytest.mark.parametrize(
    ("adapter", "fault"),
    [
        ({"target_modules": "(.*)*x"}, "repeats too much"),
        ({"target_modules": ".*.*.*.*x"}, "repeats too much"),
        ({"rank_pattern": {"(a+)+b": 3}}, "repeats too much"),
        ({"r": 0}, "cannot be rebuilt"),
        ({"r": "x"}, "cannot be rebuilt"),
        ({"peft_type": "NOTHING"}, "cannot be rebuilt"),
        ({"target_modules": ["nothing"]}, "cannot be rebuilt"),
    ],
)
def test_adapters_that_do_not_fit_are_refused(
    adapter: dict[str, Any], fault: str, manifest: Manifest
) -> None:
    with pytest.raises(ArtifactError, match=fault):
        rebuilt(_with(manifest, adapter=adapter))


def test_a_regular_expression_that_is_quick_is_taken(manifest: Manifest, tmp_path: Path) -> None:
    rebuilt(_with(manifest, adapter={"target_modules": r".*\.(q|v)_proj"}))
