"""Hub names: what is downloaded, and what is said when it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)

from lowpeak_artifact.errors import EnvironmentProblem, LowpeakError, ModelError
from lowpeak_compiler.frontend.model import hub


def _response_error(kind: type[HfHubHTTPError]) -> HfHubHTTPError:
    return kind("refused", response=Mock(headers={}))


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (_response_error(GatedRepoError), ModelError, r"org/name is gated: accept its license"),
        (_response_error(RepositoryNotFoundError), ModelError, r"no local path org/name and no such hub"),
        (_response_error(HfHubHTTPError), EnvironmentProblem, r"no local path org/name, and huggingface_hub"),
        (LocalEntryNotFoundError("offline"), EnvironmentProblem, r"could not download it: offline"),
        (HFValidationError("bad name"), ModelError, r"org/name is neither a local path nor a hub name: bad"),
        (ConnectionError("no route"), EnvironmentProblem, r"could not download it: no route"),
    ],
)
def test_failures(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, expected: type[LowpeakError], message: str
) -> None:
    def fail(*args: Any, **options: Any) -> str:
        raise raised

    monkeypatch.setattr(hub, "snapshot_download", fail)
    with pytest.raises(expected, match=message):
        hub.download("org/name")


def test_the_folder_is_what_huggingface_hub_returns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **options: str(tmp_path / name))
    assert hub.download("org/name") == tmp_path / "org/name"
