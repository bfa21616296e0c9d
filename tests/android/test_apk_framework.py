"""Every call of the app to the framework: that it exists, and on which versions of Android it is made.

The framework is AOSP's own signature file, and newer.txt for what came later; levels are those of D8's
database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.android import signatures
from tests.android.api_levels import ApiLevels
from tests.android.conftest import Apk
from tests.android.dex import DexClass, Reference
from tests.android.signatures import Type
from tests.android.tools import NEWER, Tools

pytestmark = pytest.mark.android

MIN_SDK = 28
OBJECT = "java/lang/Object"
OF_HIDDEN_PARENTS = {"java/lang/StringBuilder.setLength(I)V"}
"""Of API 1, declared by a type that is not public and not in the database."""
REFLECTION = ("java/lang/reflect/", "java/lang/invoke/")
REFLECTIVE = {"forName", "getDeclaredMethod", "getMethod", "getDeclaredField", "getField", "newInstance"}
GUARDED = re.compile(r"dev/lowpeak/demo/Api(\d\d)\b")
GUARD = Reference("dev/lowpeak/demo/Api", "has", "(I)Z")


@pytest.fixture(scope="module")
def framework(android_tools: Tools) -> dict[str, Type]:
    return signatures.parse(android_tools.aosp.read_text(), NEWER.read_text())


@pytest.fixture(scope="module")
def levels(android_tools: Tools) -> ApiLevels:
    return ApiLevels(android_tools.d8)


def outside(apk: Apk, framework: dict[str, Type]) -> Iterator[tuple[DexClass, str, Reference]]:
    """(class, method, what it refers to) of everything that is not the app's own."""
    for one in apk.classes.values():
        for parent in (one.parent, *one.interfaces):
            if parent not in apk.classes:
                yield one, "declaration", Reference(parent)
        for code in one.methods:
            for reference in code.references:
                found = resolved(reference, apk.classes, framework)
                if found is not None:
                    yield one, code.method, found


def resolved(
    reference: Reference, classes: dict[str, DexClass], framework: dict[str, Type]
) -> Reference | None:
    """The reference at the framework's type that a class of the app has it from; None for the app's own."""
    left, ancestors = [reference.owner], list[Reference]()
    while left:
        owner = left.pop(0)
        if owner not in classes:
            ancestors.append(Reference(owner, reference.name, reference.descriptor))
        elif not reference.name or (reference.name, reference.descriptor) in classes[owner].members:
            return None
        else:
            left += [classes[owner].parent, *classes[owner].interfaces]
    return next((one for one in ancestors if holders(framework, one)), ancestors[0])


def holders(framework: dict[str, Type], reference: Reference) -> list[str]:
    """The types of the framework from the reference's owner up that declare its member."""
    found, left = [], [reference.owner]
    while left:
        name = left.pop()
        one = framework.get(name)
        if one is not None:
            if any(
                (each.name, each.descriptor) == (reference.name, reference.descriptor) for each in one.members
            ):
                found.append(name)
            left += one.supertypes if name != OBJECT else ()
    return found


def test_what_is_called_is_in_the_framework(apk: Apk, framework: dict[str, Type]) -> None:
    missing = set()
    count = 0
    for _, method, reference in outside(apk, framework):
        count += 1
        if reference.owner not in framework or (reference.name and not holders(framework, reference)):
            missing.add(f"{method}: {reference}")
    assert not missing
    assert count > 1000


def test_what_is_newer_than_the_oldest_phone_is_guarded(
    apk: Apk, framework: dict[str, Type], levels: ApiLevels
) -> None:
    wrong = set()
    guarded = set()
    for one, method, reference in outside(apk, framework):
        level = level_of(reference, framework, levels)
        name = GUARDED.match(one.name)
        allowed = int(name[1]) if name else MIN_SDK
        if level is None or level > allowed:
            wrong.add(f"{one.name}.{method}: {reference} is of API {level}")
        elif level > MIN_SDK:
            guarded.add(str(reference))
    assert not wrong
    assert any("getHistoricalProcessExitReasons" in each for each in guarded)


def level_of(reference: Reference, framework: dict[str, Type], levels: ApiLevels) -> int | None:
    """The least level of those that declare it: what is called may be an override. None: it is not known."""
    if not reference.name:
        return levels.type(reference.owner)
    if OBJECT in (found := holders(framework, reference)) or str(reference) in OF_HIDDEN_PARENTS:
        # Those of Object are not in the database.
        return 1
    known = [
        levels.member(holder, reference.name, reference.descriptor) for holder in (reference.owner, *found)
    ]
    return min((level for level in known if level is not None), default=None)


def test_guarded_classes_are_entered_behind_their_check(apk: Apk) -> None:
    entries = 0
    for one in apk.classes.values():
        if GUARDED.match(one.name):
            continue
        for code in one.methods:
            checked = set[int]()
            constant = None
            for instruction in code.instructions:
                if match := re.match(r"const/16 v\d+, #int (\d+) ", instruction):
                    constant = int(match[1])
                elif f"L{GUARD.owner};.{GUARD.name}:" in instruction and constant is not None:
                    checked.add(constant)
                elif match := re.search(r"Ldev/lowpeak/demo/Api(\d\d);\.", instruction):
                    entries += 1
                    assert int(match[1]) in checked, f"{one.name}.{code.method}: {instruction}"
    assert entries >= 6


def test_nothing_is_called_by_reflection(apk: Apk, framework: dict[str, Type]) -> None:
    for one, method, reference in outside(apk, framework):
        assert not reference.owner.startswith(REFLECTION), f"{one.name}.{method}: {reference}"
        if reference.owner.startswith("java/lang/Class"):
            assert reference.name not in REFLECTIVE, f"{one.name}.{method}: {reference}"


def test_the_newer_members_have_the_level_that_is_written(
    framework: dict[str, Type], levels: ApiLevels
) -> None:
    known = 0
    for owner, member in newer(framework):
        assert member.since is not None and member.since > MIN_SDK
        level = levels.member(owner, member.name, member.descriptor)
        known += level is not None
        # The database ends before the newest of them.
        assert level == member.since or (level is None and member.since > levels.newest), (owner, member)
    assert known > 8


def test_the_newer_members_are_in_a_newer_framework(framework: dict[str, Type], android_tools: Tools) -> None:
    for owner, member in newer(framework):
        package, _, name = owner.rpartition("/")
        file = android_tools.python_stubs / package.replace("android", "android-stubs", 1) / "__init__.pyi"
        body = python_class(file.read_text(), name.split("$"))
        if member.is_field:
            assert re.search(rf"\b{member.name}: ", body), (owner, member)
        else:
            declared = re.findall(rf"def {member.name}\((.*?)/?\) ->", body)
            parameters = re.findall(r"\[*(?:L[^;]+;|[A-Z])", member.descriptor.partition(")")[0])
            assert len(parameters) in {each.count(":") for each in declared}, (owner, member)


def newer(framework: dict[str, Type]) -> Iterator[tuple[str, signatures.Member]]:
    """(type, member) of newer.txt."""
    for one in framework.values():
        for member in one.members:
            if member.since is not None:
                yield one.name, member


def python_class(text: str, names: list[str]) -> str:
    """The body of a class in Python's syntax; of one within others by all of their names."""
    for name in names:
        match = re.search(rf"^( *)class {name}\b.*?:\n((?:\1 +.*\n|\n)*)", text, re.MULTILINE)
        assert match is not None, f"there is no class {name}"
        text = match[2]
    return text
