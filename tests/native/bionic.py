"""What Android's C library has of what native/ calls.

bionic.csv: a function of libc, libm or libdl that a build for Linux leaves undefined, and the API level from
which bionic has it on 64 bits (21 is the first there), as AOSP's libc.map.txt, libm.map.txt and libdl.map.txt
tell. Without a level: a build for Android does not call it, and the note says why.
"""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path

MIN_API = 28
LIST = Path(__file__).with_name("bionic.csv")


def levels() -> dict[str, int | None]:
    """API levels by symbol."""
    with LIST.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["api"] or row["note"] for row in rows), f"{LIST}: no level, and no note why"
    return {row["symbol"]: int(row["api"]) if row["api"] else None for row in rows}


def called(file: Path, nm: str = "nm") -> set[str]:
    """What a program or library for Linux takes from the C library."""
    listed = subprocess.run([nm, "-D", "--undefined-only", file], capture_output=True, text=True, check=True)
    symbols = (line.split()[-1] for line in listed.stdout.splitlines())
    return {name for name, _, version in (s.partition("@") for s in symbols) if version.startswith("GLIBC_")}


def require_on_android(*files: Path) -> None:
    """AssertionError for what the files call and Android's C library has not, or not yet at MIN_API."""
    allowed = levels()
    found = set().union(*map(called, files))
    assert len(found) > 40, f"{files} call {len(found)} functions: are these the right files?"
    unknown = sorted(found - allowed.keys())
    assert not unknown, f"{LIST} has no API level for {unknown}: bionic's libc.map.txt tells"
    late = {name: level for name in found if (level := allowed[name]) is not None and level > MIN_API}
    assert not late, f"not on Android at API {MIN_API}: {late}"


def alignments(file: Path) -> list[int]:
    """Of the file's LOAD segments: a system with larger pages cannot load it."""
    listed = subprocess.run(["readelf", "-lW", file], capture_output=True, text=True, check=True)
    lines = (line.split() for line in listed.stdout.splitlines())
    return [int(words[-1], 16) for words in lines if words and words[0] == "LOAD"]
