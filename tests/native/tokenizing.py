"""The tokenizer of native/, called from Python."""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tests.native.build import SOURCES, build, run

PROGRAM = Path(__file__).with_name("tokenize.cpp")

Row = list[tuple[int, int, int]]
"""Tokens: id, and the bytes [start, end) of the text."""


@cache
def program() -> Path:
    """Linked once for each state of the library."""
    folder = build()
    library = folder / "trainer" / "tokenizer" / "liblowpeak_tokenizer.a"
    digest = hashlib.sha256(PROGRAM.read_bytes() + library.read_bytes()).hexdigest()[:12]
    made = folder / f"tokenize-{digest}"
    with (folder / "tokenize.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            compile_program(os.environ.get("CXX", "c++"), folder, made)
    return made


def compile_program(compiler: str, folder: Path, out: Path) -> None:
    """Against the libraries in a folder where native/ is built."""
    libraries = [
        folder / "trainer" / "tokenizer" / "liblowpeak_tokenizer.a",
        folder / "trainer" / "liblowpeak_trainer.a",
    ]
    run(
        *(compiler, "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{SOURCES}"),
        *("-o", str(out), str(PROGRAM), *map(str, libraries)),
    )


def encoded(
    tokenizer: Path, texts: Sequence[bytes], *, special: bool = False, command: Sequence[str] = ()
) -> list[Row | str]:
    """The tokens of each text, or why it has none. Raises RuntimeError with what is wrong with the file."""
    sent = b"".join(struct.pack("I", len(text)) + text for text in texts)
    return _rows(_asked(tokenizer, ["encode", *["special"] * special], sent, command), len(texts))


def prompts(artifact: Path, chats: Sequence[Sequence[dict[str, str]]]) -> list[list[int] | str]:
    """The tokens that ask for the next answer in each chat, or why there are none."""
    sent = b""
    for chat in chats:
        words = [message[key].encode() for message in chat for key in ("role", "content")]
        sent += struct.pack("I", len(words)) + b"".join(struct.pack("I", len(each)) + each for each in words)
    rows = _rows(_asked(artifact, ["prompt"], sent, ()), len(chats))
    return [row if isinstance(row, str) else [number for number, _, _ in row] for row in rows]


def _rows(out: bytes, size: int) -> list[Row | str]:
    place, rows = 0, []
    for _ in range(size):
        (count,) = struct.unpack_from("i", out, place)
        place += 4
        row: Row | str
        if count < 0:
            row, place = _text(out, place)
        else:
            row = [struct.unpack_from("iII", out, place + 12 * index) for index in range(count)]
            place += 12 * count
        rows.append(row)
    return rows


def decoded(tokenizer: Path, rows: Sequence[Sequence[int]]) -> list[list[str]]:
    """The pieces that come with each token, and what is left at the end."""
    sent = b"".join(struct.pack(f"=I{len(ids)}q", len(ids), *ids) for ids in rows)
    out = _asked(tokenizer, ["decode"], sent, ())
    place, made = 0, []
    for ids in rows:
        pieces = []
        for _ in range(len(ids) + 1):
            piece, place = _text(out, place)
            pieces.append(piece)
        made.append(pieces)
    return made


def _asked(tokenizer: Path, words: Sequence[str], sent: bytes, command: Sequence[str]) -> bytes:
    done = subprocess.run(
        [*(command or [str(program())]), str(tokenizer), *words], input=sent, capture_output=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return done.stdout


def _text(out: bytes, place: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("I", out, place)
    end = place + 4 + size
    return out[place + 4 : end].decode(), end
