"""The tokens of a text that the loss is taken on, from the characters that it is to be taken on.

A token belongs to the answer if any of its characters does: in "Answer: yes" it is " yes", also where the
prompt ends after the space.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Encoding

NO_LOSS = -100


def labels_of(encoding: Encoding, ids: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[int]:
    """`ids`, the encoding's, where a token has a character in one of the spans [start, end); -100
    elsewhere."""
    labels = [NO_LOSS] * len(ids)
    for start, end in spans:
        first, last = _tokens_of(encoding, start, end)
        labels[first:last] = ids[first:last]
    return labels


def added_tokens(encoding: Encoding) -> tuple[int, int]:
    """How many tokens the tokenizer has added before the text, and after it."""
    added = [encoding.token_to_sequence(index) is None for index in range(len(encoding))]
    before = (*added, False).index(False)
    return before, 0 if before == len(added) else (*reversed(added), False).index(False)


def repeated(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens at the end of `one` are those that `other` begins with."""
    sizes = range(min(len(one), len(other)), 0, -1)
    return next((size for size in sizes if list(one[-size:]) == list(other[:size])), 0)


def _tokens_of(encoding: Encoding, start: int, end: int) -> tuple[int, int]:
    """The tokens [first, last) that have a character in [start, end)."""
    if start >= end:
        return 0, 0
    first, final = encoding.char_to_token(start), encoding.char_to_token(end - 1)
    if first is None or final is None:
        return _search(encoding, start, end)
    last = final + 1
    # One character can be several tokens.
    while last < len(encoding) and (characters := encoding.token_to_chars(last)) and characters[0] < end:
        last += 1
    return first, last


def _search(encoding: Encoding, start: int, end: int) -> tuple[int, int]:
    """As `_tokens_of`, where a character at the edge is in no token.

    Some tokenizers leave out spaces, which then belong to no token, and some trim them off their offsets: a
    token of spaces only is then as wide as nothing, and reaches back to the token before it.
    """
    inside = []
    reached = 0
    for index, (first, last) in enumerate(encoding.offsets):
        if encoding.token_to_sequence(index) is None:
            continue
        begins = min(first, reached) if first == last else first
        if (begins < end and last > start) or (begins == last and start <= last < end):
            inside.append(index)
        reached = max(reached, last)
    return (inside[0], inside[-1] + 1) if inside else (0, 0)
