"""Where the files of a model lie, and whether they are still those that were compiled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from lowpeak_artifact.digest import digest_of
from lowpeak_compiler.frontend.model.folder import checkpoint_files


@dataclass(frozen=True)
class Origin:
    """What transformers can load the model from."""

    path: Path
    """A checkpoint folder or a `.gguf` file."""

    hub_name: str | None = None
    """If the folder is the hub's cache of it."""

    trust_remote_code: bool = False

    @property
    def is_gguf(self) -> bool:
        return self.path.is_file()

    def sha256(self) -> str:
        """Of config and weights, by their names. Reads every byte. Raises ModelError for missing files."""
        if self.is_gguf:
            return _sha256_of(self.path)
        names = ["config.json", *checkpoint_files(self.path)]
        listed = "".join(f"{_sha256_of(self.path / name)}  {name}\n" for name in names)
        return hashlib.sha256(listed.encode()).hexdigest()


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return digest_of(file)
