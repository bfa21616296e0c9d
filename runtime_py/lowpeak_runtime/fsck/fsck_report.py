"""What `fsck` says of a folder, file by file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["artifact", "run", "adapter"]
State = Literal["whole", "damaged", "missing", "not made", "foreign", "leftover", "not judged"]

REMOVES = "--repair removes it"


@dataclass(frozen=True)
class Finding:
    """What is said of one file."""

    file: str
    """From the folder on."""
    state: State
    detail: str = ""
    """How it is damaged; of a whole one, what is in it."""
    remedy: str = ""
    """What to do."""


@dataclass
class FsckReport:
    """What a call of `fsck` found, and did."""

    folder: Path
    kind: Kind
    in_use: bool
    """A run trains there now: its temporary files are not judged."""
    findings: list[Finding] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    """What was done, in words; then findings are of afterwards."""

    @property
    def whole(self) -> bool:
        return not any(each.state in ("damaged", "missing") for each in self.findings)

    def add(self, file: str, problem: str | None, remedy: str, detail: str = "") -> None:
        """A file that is damaged if there is a problem, and whole with the detail else."""
        if problem is None:
            self.findings.append(Finding(file, "whole", detail))
        else:
            self.findings.append(Finding(file, "damaged", problem, remedy))
