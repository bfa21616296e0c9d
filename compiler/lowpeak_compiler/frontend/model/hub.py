"""Hub name -> local checkpoint folder."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError

from lowpeak_artifact.errors import EnvironmentProblem, ModelError

_WANTED = ["*.json", "*.safetensors", "tokenizer*", "*.model", "merges.txt", "vocab.txt", "*.jinja"]
# Some repositories hold their weights a second time in their authors' own format.
_UNWANTED = ["original/*", "consolidated*", "onnx/*"]


def download(name: str, *, with_code: bool = False) -> Path:
    """The folder of the hub repository `org/name`, downloaded unless it is in the local cache.

    `with_code`: its Python files, too. Raises ModelError when there is no such repository or no access to
    it, EnvironmentProblem when the hub cannot be reached.
    """
    try:
        wanted = [*_WANTED, "*.py"] if with_code else _WANTED
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=_UNWANTED))
    except HFValidationError as error:
        raise ModelError(f"{name} is neither a local path nor a hub name: {error}") from error
    except GatedRepoError as error:
        raise ModelError(
            f"{name} is gated: accept its license on the hub, then run `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"there is no local path {name} and no such hub repository (a private one needs `hf auth login`)"
        ) from error
    except (HfHubHTTPError, OSError) as error:
        raise EnvironmentProblem(
            f"there is no local path {name}, and huggingface_hub could not download it: {error}. "
            "Download it where there is a network and give its folder"
        ) from error
