"""Writes unicode_tables.inc: what the tokenizer of native/ knows of Unicode.

    python native/tokenizer/unicode_tables.py > native/tokenizer/unicode_tables.inc

General categories are those that the regular expressions of `tokenizers` have, asked of it character by
character: they are of a later Unicode than Python's. Compositions are Python's, asked of `unicodedata`, but
for those that the NFC of `tokenizers` does not make.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from itertools import groupby

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CATEGORIES = [
    *("Cn", "Cc", "Cf", "Co", "Ll", "Lm", "Lo", "Lt", "Lu", "Mc", "Me", "Mn", "Nd", "Nl", "No", "Pc", "Pd"),
    *("Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So", "Zl", "Zp", "Zs"),
]
"""In the order of native/tokenizer/unicode.h."""

CHARACTERS = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
_AT_ONCE = 4096


def members(pattern: str) -> set[str]:
    """The characters that a class of `tokenizers`' regular expressions has."""
    splitter = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    found: set[str] = set()
    for start in range(0, len(CHARACTERS), _AT_ONCE):
        for piece, _ in splitter.pre_tokenize_str("".join(CHARACTERS[start : start + _AT_ONCE])):
            found.update(piece)
    return found


def categories() -> list[tuple[int, int]]:
    """Where each run of characters of one category begins, and its index."""
    of = {
        character: index for index, name in enumerate(CATEGORIES) for character in members(rf"\p{{{name}}}")
    }
    runs = groupby(range(0x110000), key=lambda code: of.get(chr(code), 0))
    return [(next(codes), index) for index, codes in runs]


def numeric_elsewhere() -> list[int]:
    """Numbers for the pre-tokenizer Digits that are none for regular expressions."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    numbers = members(r"\p{N}")
    return [
        ord(character)
        for character in CHARACTERS
        if character not in numbers and len(digits.pre_tokenize_str("a" + character)) == 2
    ]


def combining() -> list[tuple[int, int]]:
    """Where each run of characters of one combining class begins, and the class."""
    runs = groupby(range(0x110000), key=lambda code: unicodedata.combining(chr(code)))
    return [(next(codes), number) for number, codes in runs]


def compositions() -> Iterator[tuple[int, int, int, bool]]:
    """A character, its canonical decomposition of one or two, and whether those are put together again."""
    nfc = normalizers.NFC()
    for character in CHARACTERS:
        mapping = unicodedata.decomposition(character)
        if not mapping or mapping.startswith("<"):
            continue
        first, second = [*(int(code, 16) for code in mapping.split()), 0][:2]
        together = bool(second) and nfc.normalize_str(chr(first) + chr(second)) == character
        yield ord(character), first, second, together


def _table(declaration: str, rows: Iterable[str]) -> None:
    print(f"constexpr {declaration}[] = {{")
    line = "   "
    for row in rows:
        if len(line) + len(row) + 2 > 118:
            print(line)
            line = "   "
        line += f" {row},"
    print(f"{line}\n}};")


def main() -> None:
    print("// Written by unicode_tables.py. General categories: those of the regular expressions of")
    print(f"// tokenizers {tokenizers.__version__}. Compositions: Unicode {unicodedata.unidata_version}.")
    _table("std::uint32_t kCategories", (f"{start << 5 | index:#x}" for start, index in categories()))
    _table("std::uint32_t kNumericElsewhere", (f"{code:#x}" for code in numeric_elsewhere()))
    _table("std::uint32_t kCombining", (f"{start << 8 | number:#x}" for start, number in combining()))
    _table(
        "Decomposition kDecompositions",
        (
            f"{{{code:#x}, {first:#x}, {second:#x}, {str(together).lower()}}}"
            for code, first, second, together in compositions()
        ),
    )


if __name__ == "__main__":
    main()
