"""The worked example of docs/extending.md runs as it stands, and prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_example_runs_and_prints_what_the_page_says() -> None:
    """In a process of its own: the example's operator is in no other test's table."""
    code = blocks("python")
    assert len(code) >= 5
    command = [sys.executable, "-W", "ignore", "-c", "\n".join(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(blocks("text"))
