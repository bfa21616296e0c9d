"""The model's config out of a manifest that may come from anywhere: bounded, without code from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lowpeak_artifact.errors import ArtifactError
from lowpeak_artifact.layout import MANIFEST
from lowpeak_compiler.frontend.model.config_file import MOST_LAYERS
from lowpeak_export.portable import with_floats

_FROM_ELSEWHERE = re.compile(r"^auto_map$|^quantization_config$|_implementation")
"""Keys that name code, or a package to load."""


def own_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers may make a config of. Raises ArtifactError for more layers than a model has."""
    config_dict: dict[str, Any] = _own(with_floats(dict(config)))
    return config_dict


def _own(config: Any, key: str = "") -> Any:
    if isinstance(config, dict):
        return {k: _own(v, str(k)) for k, v in config.items() if not _FROM_ELSEWHERE.search(str(k))}
    if isinstance(config, list):
        return [_own(item, key) for item in config]
    # A config makes lists of so many entries before any model is built.
    if isinstance(config, int | float) and re.search("layer|expert", key) and config > MOST_LAYERS:
        raise ArtifactError(f"{MANIFEST}: {key} of the model's config is {config}, over {MOST_LAYERS}")
    return config
