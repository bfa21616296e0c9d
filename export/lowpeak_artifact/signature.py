"""The signature of an artifact's manifest, in minisign's format: made and verified here or by `minisign`.

It lies beside the manifest as manifest.json.minisig, which no manifest lists. Who signs the manifest signs
every file, for the manifest has their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import re
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.layout import MANIFEST, SIGNATURE
from lowpeak_artifact.manifest import MOST_BYTES as MANIFEST_BYTES
from lowpeak_artifact.plain_file import read_plain
from lowpeak_artifact.regular_file import open_regular

_OTHERS = {
    74: "it is a signature",
    158: "it is a secret key, which nobody but its owner may have",
}
"""By the bytes of its first line in base64."""

if TYPE_CHECKING:
    from lowpeak_artifact.artifact import Artifact

MOST_BYTES = 1 << 16
"""Of a key or a signature; the longest comment has 8 kB."""


def require_signature(folder: Path, manifest: bytes, public_key: str) -> None:
    """`public_key`: the file that minisign made, or its second line.

    Raises ArtifactError when there is no signature, or it is of another key or manifest; EnvironmentProblem
    when the package that verifies is missing.
    """
    minisign = _minisign()
    what = f"the artifact {folder}"
    try:
        key = _public_key(minisign, public_key)
    except (ValueError, OSError) as error:
        raise ArtifactError(
            f"{public_key} is no public key of minisign: {_why(error)}. Give the file NAME.pub that "
            "`minisign -G` made, of two lines, or its second line, which begins with RW"
        ) from error
    if not os.path.lexists(folder / SIGNATURE):
        raise ArtifactError(
            f"{what} is not signed: it has no {SIGNATURE}. Have it signed (`lowpeak sign`), or leave out "
            "--signed-by"
        )
    data = read_plain(folder, SIGNATURE, what, MOST_BYTES)
    try:
        key.verify(manifest, minisign.Signature.from_bytes(data))
    except ValueError as error:
        raise ArtifactError(
            f"{what} is not signed by that key: {error}. Its {SIGNATURE} is of another key, or the manifest "
            "was changed"
        ) from error


def sign(artifact: Artifact, secret_key: Path, password: str | None) -> Path:
    """Signs the manifest that was opened -> the signature's file. An earlier one is replaced.

    Raises ArtifactError for a key that cannot be used, a folder that cannot be written, or a manifest that is
    not any more what was opened.
    """
    folder = artifact.path
    manifest = read_plain(folder, MANIFEST, f"the artifact {folder}", MANIFEST_BYTES)
    if hashlib.sha256(manifest).hexdigest() != artifact.sha256:
        raise ArtifactError(f"the manifest of {folder} was changed while its files were checked: sign again")
    minisign = _minisign()
    try:
        key = minisign.SecretKey.from_file(secret_key)
        if key.is_encrypted():
            if password is None:
                raise ArtifactError(f"the key {secret_key} needs its password")
            key.decrypt(password)
        with key:
            signature = bytes(key.sign(manifest, trusted_comment=f"file:{MANIFEST}")) + b"\n"
    except (ValueError, OSError) as error:
        raise ArtifactError(f"the key {secret_key} cannot sign: {error}") from error
    temporary = folder / f".{SIGNATURE}.{os.getpid()}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(signature)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / SIGNATURE)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"the signature cannot be written to {folder}: {error}") from error
    return folder / SIGNATURE


def needs_password(secret_key: Path) -> bool:
    """Raises ArtifactError for what is no key."""
    minisign = _minisign()
    try:
        open_regular(secret_key).close()
        with minisign.SecretKey.from_file(secret_key) as key:
            return bool(key.is_encrypted())
    except (ValueError, OSError) as error:
        raise ArtifactError(f"the key {secret_key} cannot sign: {error}") from error


def _public_key(minisign: ModuleType, text: str) -> Any:
    path = Path(text)
    if re.fullmatch("[A-Za-z0-9+/]{56}", text) and not path.exists():
        return minisign.PublicKey.from_base64(text)
    with open_regular(path) as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise ValueError(f"it has over {MOST_BYTES} bytes")
    if not data.strip():
        raise ValueError("it is empty")
    for what in filter(None, map(_other_kind, data.splitlines())):
        raise ValueError(what)
    return minisign.PublicKey.from_bytes(data)


def _other_kind(line: bytes) -> str | None:
    """What the file of this line is, if it is another one of minisign's."""
    with suppress(ValueError):
        return _OTHERS.get(len(base64.b64decode(line, validate=True)))
    return None


def _why(error: Exception) -> str:
    return str(error) if not isinstance(error, OSError) or error.strerror is None else error.strerror


def _minisign() -> ModuleType:
    try:
        return importlib.import_module("minisign")
    except ImportError as error:
        raise EnvironmentProblem(
            "signatures need the package py-minisign, which is not installed: pip install 'lowpeak[sign]'"
        ) from error
