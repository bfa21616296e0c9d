"""Python blocks of the documents that need no download run as they stand; every named file exists."""

import re
from pathlib import Path
from typing import Any

import pytest

import lowpeak

ROOT = Path(__file__).parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
PACKAGES = [ROOT / folder for folder in ("compiler", "export", "runtime_py", "src")]
ROOTS = [ROOT, *PACKAGES, ROOT / "compiler" / "lowpeak_compiler"]
"""What a path in a document may begin in."""


def test_the_module_example_compiles_and_trains() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "models.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    report = lowpeak.train(names["artifact"], steps=2)
    assert report.losses[1] < report.losses[0]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    linked = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    assert [link for link in linked if not (document.parent / link).exists()] == []
    named = re.findall(r"`((?:[\w.]+/)+(?:\w+\.(?:py|md|svg))?)`", text)
    known = [name for name in named if name.split("/")[0] in TOP]
    assert [name for name in known if not any((root / name).exists() for root in ROOTS)] == []


TOP = {path.name for root in ROOTS for path in root.iterdir()}
"""First parts of a path within the repository."""
