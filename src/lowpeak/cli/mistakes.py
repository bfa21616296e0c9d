"""What is said about an option or a verb that there is not: the near one, or the verb that has it."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any


def unknown_option(name: str, verb: str | None, options: Mapping[str, list[str]]) -> str:
    """`options`: of each verb. `no option --learning-rat; did you mean --learning-rate?`"""
    known = options.get(verb or "", [])
    near = get_close_matches(name.lower().replace("_", "-"), known, 1, 0.7)
    if near:
        return f"no option {name}; did you mean {near[0]}?"
    elsewhere = [other for other, theirs in options.items() if name in theirs]
    if elsewhere:
        have = "have" if len(elsewhere) > 1 else "has"
        return f"no option {name} for {verb or 'lowpeak'}; {' and '.join(elsewhere)} {have} it"
    return f"no option {name}; lowpeak{f' {verb}' if verb else ''} --help lists those there are"


def options_by_verb(group: Any) -> dict[str, list[str]]:
    """Of a click group: the names that start with two hyphens."""
    return {
        name: [option for parameter in command.params for option in parameter.opts if option[:2] == "--"]
        for name, command in group.commands.items()
    }
