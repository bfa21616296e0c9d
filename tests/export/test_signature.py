"""Signatures of manifests: made here, made by the tool minisign, and what is refused."""

from __future__ import annotations

from pathlib import Path

import minisign
import pytest

from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_artifact.layout import SIGNATURE
from lowpeak_artifact.signature import needs_password, require_signature, sign
from tests.export.blank import write_blank

# Made with minisign 0.11: `minisign -G -W`, `minisign -S -m manifest.json`.
MANIFEST_OF_TOOL = b'{"schema_version": 4}'
KEY_OF_TOOL = "RWT4m7ahZ6yB70e6imb4DFwY0mtIJBF4qrhEnCNT31ZtslfNimfO7tFd"
SECRET_OF_TOOL = """untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+Ju2oWesge91X0rj1UMi23eSBfaKAjoO7YcH\
rxJcXvsF/ljoqOtnWEe6imb4DFwY0mtIJBF4qrhEnCNT31ZtslfNimfO7tFdAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
"""
SIGNATURE_OF_TOOL = """untrusted comment: signature from minisign secret key
RUT4m7ahZ6yB7/JE5707HyufA6oPLRBBfIXt9bKmqW3TllTmA/ypIBp3WcFPTgKnzOIVkl4MVeTDnOXWjJ7gBIkPKLsBHWWl2As=
trusted comment: of the test
W/fY1AZ2pfb9lZTmEEaEAejagcp/UiirN8uQqXjc4Lm1KsMEWhyVTFSwC4naCShlHzgqMFd1gLac2NSXzQDjCg==
"""


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return Artifact.open(write_blank(tmp_path / "artifact"))


@pytest.fixture
def secret_key(tmp_path: Path) -> Path:
    file = tmp_path / "k.key"
    file.write_text(SECRET_OF_TOOL)
    return file


def test_what_the_tool_signed_is_verified(tmp_path: Path) -> None:
    (tmp_path / SIGNATURE).write_text(SIGNATURE_OF_TOOL)
    require_signature(tmp_path, MANIFEST_OF_TOOL, KEY_OF_TOOL)
    with pytest.raises(ArtifactError, match="the manifest was changed"):
        require_signature(tmp_path, MANIFEST_OF_TOOL + b" ", KEY_OF_TOOL)
    (tmp_path / SIGNATURE).write_text(SIGNATURE_OF_TOOL.replace("of the test", "of another"))
    with pytest.raises(ArtifactError, match="not signed by that key"):
        require_signature(tmp_path, MANIFEST_OF_TOOL, KEY_OF_TOOL)


def test_a_signed_artifact_opens_with_its_key(artifact: Artifact, secret_key: Path, tmp_path: Path) -> None:
    assert not needs_password(secret_key)
    folder = artifact.path
    with pytest.raises(ArtifactError, match=r"is not signed: it has no manifest\.json\.minisig"):
        Artifact.open(folder, signed_by=KEY_OF_TOOL)
    assert sign(artifact, secret_key, None) == folder / SIGNATURE
    assert {file.name for file in folder.iterdir()} == {MANIFEST, SIGNATURE, *artifact.manifest.files}
    assert Artifact.open(folder, signed_by=KEY_OF_TOOL).sha256 == artifact.sha256
    (tmp_path / "k.pub").write_text(f"untrusted comment: of the test\n{KEY_OF_TOOL}\n")
    Artifact.open(folder, signed_by=str(tmp_path / "k.pub"))
    other = minisign.KeyPair.generate().public_key.to_base64().decode()
    with pytest.raises(ArtifactError, match="not signed by that key"):
        Artifact.open(folder, signed_by=other)
    (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes() + b"\n")
    with pytest.raises(ArtifactError, match="the manifest was changed"):
        Artifact.open(folder, signed_by=KEY_OF_TOOL)
    Artifact.open(folder)
    with pytest.raises(ArtifactError, match="was changed while its files were checked"):
        sign(artifact, secret_key, None)


def test_a_signed_artifact_can_be_replaced(artifact: Artifact, secret_key: Path) -> None:
    sign(artifact, secret_key, None)
    write_blank(artifact.path, b"new", overwrite=True)
    assert not (artifact.path / SIGNATURE).exists()


def test_keys_with_a_password(artifact: Artifact, tmp_path: Path) -> None:
    pair = minisign.KeyPair.generate()
    pair.secret_key.encrypt("secret", opslimit=minisign.OPSLIMIT // 1024, memlimit=minisign.MEMLIMIT // 1024)
    key = tmp_path / "encrypted.key"
    key.write_bytes(bytes(pair.secret_key))
    assert needs_password(key)
    with pytest.raises(ArtifactError, match="needs its password"):
        sign(artifact, key, None)
    with pytest.raises(ArtifactError, match="cannot sign: wrong password"):
        sign(artifact, key, "guess")
    sign(artifact, key, "secret")
    Artifact.open(artifact.path, signed_by=pair.public_key.to_base64().decode())


@pytest.mark.parametrize("damage", ["", "untrusted comment: x\n", "\x00" * 1000, "a" * (1 << 17)])
def test_damaged_keys_and_signatures(damage: str, artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(damage)
    (artifact.path / SIGNATURE).write_text(damage)
    with pytest.raises(ArtifactError, match=r"not signed by that key|has 131072 bytes"):
        Artifact.open(artifact.path, signed_by=KEY_OF_TOOL)
    with pytest.raises(ArtifactError, match=r"no public key of minisign|has 131072 bytes"):
        Artifact.open(artifact.path, signed_by=str(tmp_path / "key"))
    with pytest.raises(ArtifactError, match="cannot sign"):
        sign(artifact, tmp_path / "key", None)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is empty"),
        (SECRET_OF_TOOL, "it is a secret key, which nobody but its owner may have"),
        (SIGNATURE_OF_TOOL, "it is a signature"),
        ("a" * (1 << 17), "it has over 65536 bytes"),
        (None, "No such file or directory"),
    ],
    ids=["empty", "secret", "signature", "long", "missing"],
)
def test_what_is_no_public_key(content: str | None, why: str, artifact: Artifact, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key").write_text(content)
    with pytest.raises(ArtifactError) as told:
        Artifact.open(artifact.path, signed_by=str(tmp_path / "key"))
    assert str(told.value) == (
        f"{tmp_path / 'key'} is no public key of minisign: {why}. Give the file NAME.pub that `minisign -G` "
        "made, of two lines, or its second line, which begins with RW"
    )


def test_a_missing_package_is_told(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "minisign", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'lowpeak\[sign\]'"):
        Artifact.open(artifact.path, signed_by=KEY_OF_TOOL)
