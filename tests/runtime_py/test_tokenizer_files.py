"""A tokenizer is made of the files that are named: what lies beside them changes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, DataError
from lowpeak_export.bundle import writing
from lowpeak_runtime.data.prepare import tokenizer_of
from lowpeak_runtime.data.tokenizer_files import load_tokenizer
from tests.export.blank import blank_manifest, fill
from tests.lowpeak.checkpoint import save_checkpoint

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = save_checkpoint(tmp_path_factory.mktemp("tokenizer") / "model")
    return {name: (folder / name).read_bytes() for name in ("tokenizer.json", "tokenizer_config.json")}


def _written(folder: Path, files: dict[str, bytes]) -> Artifact:
    with writing(folder) as bundle:
        fill(bundle, b"payload")
        for name, data in files.items():
            bundle.path(name).write_bytes(data)
        bundle.finish(blank_manifest())
    return Artifact.open(folder)


def test_files_that_no_manifest_lists_are_not_read(files: dict[str, bytes], tmp_path: Path) -> None:
    artifact = _written(tmp_path / "artifact", files)
    before = tokenizer_of(artifact)
    folder = artifact.path
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tool_use.jinja").write_text(TEMPLATE)
    (folder / "special_tokens_map.json").write_text('{"eos_token": "A", "bos_token": "B"}')
    (folder / "added_tokens.json").write_text('{"<new>": 96}')
    code = {"AutoConfig": "code.Config", "AutoTokenizer": ["code.Tokenizer", None]}
    (folder / "config.json").write_text(json.dumps({"model_type": "unheard-of", "auto_map": code}))
    (folder / "code.py").write_text("raise SystemExit('code was run')")
    os.mkfifo(folder / "tokenizer.model")
    after = tokenizer_of(Artifact.open(folder))
    assert after.chat_template is None
    assert after.special_tokens_map == before.special_tokens_map
    assert after.get_vocab() == before.get_vocab()
    assert after("Hello").input_ids == before("Hello").input_ids


def test_listed_files_are_read(files: dict[str, bytes], tmp_path: Path) -> None:
    artifact = _written(tmp_path / "artifact", {**files, "chat_template.jinja": TEMPLATE.encode()})
    assert tokenizer_of(artifact).chat_template == TEMPLATE
    (artifact.path / "chat_template.jinja").write_text(TEMPLATE.replace("content", "role   "))
    with pytest.raises(ArtifactError, match=r"chat_template\.jinja .* is not the file that was compiled"):
        tokenizer_of(artifact)


def _config(change: dict[str, Any]) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def changed(files: dict[str, bytes]) -> dict[str, bytes]:
        config = json.loads(files["tokenizer_config.json"])
        return {**files, "tokenizer_config.json": json.dumps(config | change).encode()}

    return changed


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (_config({"auto_map": {"AutoTokenizer": ["code.T", None]}}), "'auto_map': the tokenizer needs"),
        (_config({"fast_tokenizer_files": ["tokenizer.4.json"]}), "'fast_tokenizer_files'"),
        (_config({"tokenizer_class": "TokenizerOfNobody"}), "a TokenizerOfNobody, which this transformers"),
        (_config({"tokenizer_class": "os.system"}), r"a os\.system, which"),
        (_config({"tokenizer_class": "AutoModel"}), "a AutoModel, which"),
        (_config({"tokenizer_class": 3}), "a 3, which"),
        (_config({"added_tokens_decoder": {"x": 3}}), "transformers cannot load it"),
        (lambda f: {**f, "tokenizer.json": b"{"}, "transformers cannot load it"),
        (lambda f: {**f, "tokenizer.json": b"[]"}, "transformers cannot load it"),
        (lambda f: {**f, "tokenizer_config.json": b"[]"}, "is a list, not an object"),
        (lambda f: {**f, "tokenizer_config.json": b"[" * 100000}, "not JSON"),
        (lambda f: {"tokenizer.json": f["tokenizer.json"]}, r"no tokenizer_config\.json"),
    ],
)
def test_what_is_no_tokenizer_of_transformers_is_refused(
    change: Callable[[dict[str, bytes]], dict[str, bytes]], fault: str, files: dict[str, bytes]
) -> None:
    changed = change(files)
    with pytest.raises(DataError, match=fault):
        load_tokenizer(changed.keys(), changed.__getitem__)
