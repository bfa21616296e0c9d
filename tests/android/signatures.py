"""AOSP's signature files (`api/current.txt`, format 2.0) as values: types and members with their descriptors.

    package android.app {
      public class Activity extends android.view.ContextThemeWrapper implements android.view.Window.Callback {
        method public <T extends android.view.View> T findViewById(@IdRes int);

becomes Type("android/app/Activity", ...) with Member("findViewById", "(I)Landroid/view/View;",
"<T:Landroid/view/View;>(I)TT;", ...), as the Java virtual machine's class files have them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

PRIMITIVES = {
    "void": "V", "boolean": "Z", "byte": "B", "char": "C",
    "short": "S", "int": "I", "long": "J", "float": "F", "double": "D",
}  # fmt: skip
MODIFIERS = {
    "public", "protected", "private", "static", "final", "abstract", "default", "synchronized", "native",
    "transient", "volatile", "strictfp", "deprecated",
}  # fmt: skip
_KINDS = ("class", "interface", "enum", "@interface")
_ANNOTATION = re.compile(r"@(?!interface\b)[\w.]+(\((?:[^()]|\([^()]*\))*\))?\s*")
_TOKEN = re.compile(r"\.\.\.|[\w.$]*[\w$]|[<>,?&\[\]();]")


@dataclass(frozen=True)
class Member:
    """A method, constructor (`<init>`) or field."""

    name: str
    descriptor: str
    signature: str
    """With type variables and arguments; the descriptor where there are none."""
    modifiers: frozenset[str]
    varargs: bool = False
    throws: tuple[str, ...] = ()
    value: str | None = None
    """Of a constant, as written in the file."""
    since: int | None = None
    """The API level of a line that ends with `// API 30`."""

    @property
    def is_field(self) -> bool:
        return not self.descriptor.startswith("(")


@dataclass
class Type:
    name: str
    """As class files have it: android/app/Notification$Builder."""
    kind: str
    modifiers: frozenset[str]
    parent: str
    interfaces: tuple[str, ...]
    signature: str
    outer: str | None
    members: list[Member] = field(default_factory=list)

    @property
    def supertypes(self) -> tuple[str, ...]:
        return (self.parent, *self.interfaces)


@dataclass(frozen=True)
class _Reference:
    descriptor: str
    signature: str


class _Tokens:
    """What is left of a declaration, read from the left."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(_ANNOTATION.sub("", text))
        self._at = 0

    def peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def next(self) -> str:
        token = self.peek()
        self._at += 1
        return token

    def take(self, token: str) -> bool:
        found = self.peek() == token
        self._at += found
        return found

    def modifiers(self) -> frozenset[str]:
        found = set()
        while self.peek() in MODIFIERS:
            found.add(self.next())
        return frozenset(found)


class _Names:
    """Finds a type by the name that the file has for it."""

    def __init__(self, declared: Iterable[tuple[str, str]]) -> None:
        self._binary = {f"{package}.{name}": binary(package, name) for package, name in declared}

    def __call__(self, name: str) -> str:
        found = self._binary.get(name) or self._binary.get(f"java.lang.{name}")
        if found is None:
            raise ValueError(f"the signature file uses a type that it does not declare: {name}")
        return found


def binary(package: str, name: str) -> str:
    return f"{package.replace('.', '/')}/{name.replace('.', '$')}"


def parse(*texts: str) -> dict[str, Type]:
    """The types of one or several files by name; a type that comes again adds its members.

    Raises ValueError for what cannot be read.
    """
    declarations = [declaration for text in texts for declaration in _declarations(text)]
    names = _Names((package, _type_name(head)) for package, head, _ in declarations)
    types: dict[str, Type] = {}
    scopes: dict[str, dict[str, str]] = {}
    # An outer type's variables are known in those within.
    for package, head, members in sorted(declarations, key=lambda one: _type_name(one[1]).count(".")):
        name = binary(package, _type_name(head))
        outer = name.rpartition("$")[0] or None
        scope = dict(scopes.get(outer or "", {}))
        made = _type(head, name, outer, names, scope)
        scopes.setdefault(name, scope)
        known = types.setdefault(name, made)
        for line in members:
            known.members.append(_member(line, known, names, scopes[name]))
    return types


def _declarations(text: str) -> Iterator[tuple[str, str, list[str]]]:
    """(package, head, lines of members) of each type."""
    package, head, members = "", "", list[str]()
    for line in text.splitlines():
        if line.startswith("package "):
            package = line.split()[1]
        elif line.startswith("    "):
            members.append(line.strip())
        elif line == "  }":
            yield package, head, members
        elif line.startswith("  "):
            head, members = line.strip().removesuffix("{"), []


def _type_name(head: str) -> str:
    words = _ANNOTATION.sub("", head).replace("<", " <").split()
    return words[next(i for i, word in enumerate(words) if word in _KINDS) + 1]


def _type(head: str, name: str, outer: str | None, names: _Names, scope: dict[str, str]) -> Type:
    kind = next(word for word in _ANNOTATION.sub("", head).split() if word in _KINDS)
    tokens = _Tokens(head.replace("@interface", "interface"))
    modifiers = tokens.modifiers()
    tokens.next(), tokens.next()
    variables = _variables(tokens, names, scope)
    extended, implemented = list[_Reference](), list[_Reference]()
    for keyword, found in (("extends", extended), ("implements", implemented)):
        if tokens.take(keyword):
            while tokens.peek() not in ("", "implements"):
                found.append(_reference(tokens, names, scope))
    parent = _Reference("Ljava/lang/Object;", "Ljava/lang/Object;")
    if kind == "enum":
        parent = _Reference("Ljava/lang/Enum;", f"Ljava/lang/Enum<L{name};>;")
    elif kind == "class" and extended:
        parent = extended.pop()
    interfaces = extended + implemented
    if kind == "@interface":
        interfaces.append(
            _Reference("Ljava/lang/annotation/Annotation;", "Ljava/lang/annotation/Annotation;")
        )
    return Type(
        name,
        kind,
        modifiers,
        parent.descriptor[1:-1],
        tuple(one.descriptor[1:-1] for one in interfaces),
        variables + parent.signature + "".join(one.signature for one in interfaces),
        outer,
    )


def _variables(tokens: _Tokens, names: _Names, scope: dict[str, str]) -> str:
    """Reads `<T extends A & B, ...>`, adds the variables to the scope and returns them as a signature."""
    if not tokens.take("<"):
        return ""
    bounds: dict[str, list[_Reference]] = {}
    # A bound may name a variable that is declared after it, whose own bound is of no weight to its name.
    start = tokens._at
    depth = 1
    previous = "<"
    while depth:
        token = tokens.next()
        if depth == 1 and previous in "<,":
            scope[token] = "Ljava/lang/Object;"
        depth += {"<": 1, ">": -1}.get(token, 0)
        previous = token
    tokens._at = start
    while not tokens.take(">"):
        tokens.take(",")
        name = tokens.next()
        bounds[name] = []
        if tokens.take("extends"):
            bounds[name].append(_reference(tokens, names, scope))
            while tokens.take("&"):
                bounds[name].append(_reference(tokens, names, scope))
            scope[name] = bounds[name][0].descriptor
    text = ""
    for name, found in bounds.items():
        text += name + "".join(f":{one.signature}" for one in found or [_Reference("", "Ljava/lang/Object;")])
    return f"<{text}>"


def _reference(tokens: _Tokens, names: _Names, scope: Mapping[str, str]) -> _Reference:
    name = tokens.next()
    if name in PRIMITIVES:
        descriptor = signature = PRIMITIVES[name]
    elif name in scope:
        descriptor, signature = scope[name], f"T{name};"
    elif len(name) == 1:
        # The file does not declare the variables of constructors.
        descriptor = signature = "Ljava/lang/Object;"
    else:
        found = names(name)
        descriptor, signature = f"L{found};", f"L{found}{_arguments(tokens, names, scope)};"
    dimensions = ""
    while tokens.take("["):
        tokens.take("]")
        dimensions += "["
    if tokens.peek() == "...":
        dimensions += "["
    return _Reference(dimensions + descriptor, dimensions + signature)


def _arguments(tokens: _Tokens, names: _Names, scope: Mapping[str, str]) -> str:
    if not tokens.take("<"):
        return ""
    text = ""
    while not tokens.take(">"):
        tokens.take(",")
        if tokens.take("?"):
            bound = tokens.peek()
            if bound not in ("extends", "super"):
                text += "*"
                continue
            tokens.next()
            text += {"extends": "+", "super": "-"}[bound]
        text += _reference(tokens, names, scope).signature
    return f"<{text}>"


def _member(line: str, owner: Type, names: _Names, outer_scope: Mapping[str, str]) -> Member:
    what, _, rest = line.partition(" ")
    declaration, _, value = rest.partition(" = ") if what == "field" else (rest, "", "")
    tokens = _Tokens(declaration)
    scope = dict(outer_scope)
    modifiers = tokens.modifiers()
    variables = _variables(tokens, names, scope)
    level = re.search(r"; // API (\d+)$", line)
    since = int(level[1]) if level else None
    if what in ("field", "enum_constant"):
        made = _reference(tokens, names, scope)
        end = value.rpartition('";')[0] + '"' if value.startswith('"') else value.partition(";")[0]
        return Member(
            tokens.next(), made.descriptor, made.signature, modifiers, value=end or None, since=since
        )
    if what == "ctor":
        returned, name = _Reference("V", "V"), "<init>"
        tokens.next()
    else:
        returned = _reference(tokens, names, scope)
        name = tokens.next()
    parameters, varargs = list[_Reference](), False
    tokens.take("(")
    while not tokens.take(")"):
        parameters.append(_reference(tokens, names, scope))
        varargs |= tokens.take("...")
        if tokens.peek() not in (",", ")"):
            tokens.next()  # The parameter's name.
        tokens.take(",")
    throws = list[_Reference]()
    if tokens.take("throws"):
        while tokens.peek() not in ("", ";"):
            throws.append(_reference(tokens, names, scope))
            tokens.take(",")
    hidden = ""
    if what == "ctor" and owner.outer and owner.kind == "class" and "static" not in owner.modifiers:
        hidden = f"L{owner.outer};"
    return Member(
        name,
        f"({hidden}{''.join(one.descriptor for one in parameters)}){returned.descriptor}",
        f"{variables}({hidden}{''.join(one.signature for one in parameters)}){returned.signature}",
        modifiers,
        varargs,
        tuple(one.descriptor[1:-1] for one in throws),
        since=since,
    )
