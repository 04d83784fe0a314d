"""Lists the small changes (mutations) that a C source of the core admits.

In: the text of a source. Out: `Change`s, each with the place and the replacement. Works on the text
without a C parser, so it relies on how the core is written: spaces around binary operators, at most
one statement a line, no macros with bodies. Comments and the preprocessor's lines never change.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_BINARY = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "&&": ("||",),
    "||": ("&&",),
    "+": ("-",),
    "-": ("+",),
    "<<": (">>",),
    ">>": ("<<",),
    "&": ("|",),
    "|": ("&",),
    "^": ("|",),
    "|=": ("=", "&="),
    "^=": ("=",),
}
_OPERATOR = re.compile(r"(?<= )(<<|>>|<=|>=|==|!=|&&|\|\||\|=|\^=|[<>+\-&|^])(?= |\n)")
_NUMBER = re.compile(r"(?<![\w.])(0x[0-9a-fA-F]+|\d+)(u?)\b")
_LIMIT = re.compile(r"\bBP_LIMITS\.\w+(?:\[\w+\]\.\w+)?|(?<!\[)\bBP_[A-Z_]+_(?:MAX|SIZE|RELEASE)\b")
_WORD = {"true": "false", "false": "true"}
_NOT = re.compile(r"!(?=[a-z(*])")
_IF = re.compile(r"\b(?:if|while) (?=\()")
_TERNARY = re.compile(r" \? ")
# An assignment or a call that stands alone; not a declaration, whose first word is a type.
_STATEMENT = re.compile(
    r"(?m)^ +(?!return|struct|size_t|uint\w+|bool|enum|const|static|case|break|for|if|while)"
    r"(?!unsigned|int)"
    r"(?:\(void\)!?)?[\w>&*(+-][^;{}]*?(?:=|\(|\+\+|--)[^;{}]*(?:\{[^{}]*\})?[^;{}]*;(?= *$)"
)
_FUNCTION = re.compile(r"(?m)^\w[\w ]*[ *](\w+)\(")


@dataclass(frozen=True)
class Change:
    """One replacement in a file.

    Attributes:
        where: name of the function.
        line: from 1.
        start: offset of the replaced text.
        old, new: the replaced text and its replacement.
        shown: the line before and after, for people.
        occurrence: counts equal changes in the same function, from 0.
    """

    where: str
    line: int
    start: int
    old: str
    new: str
    shown: str
    occurrence: int

    @property
    def identity(self) -> str:
        """Function and change; it does not depend on the lines above."""
        suffix = f" #{self.occurrence}" if self.occurrence else ""
        return f"{self.where}: {self.shown}{suffix}"

    def applied(self, text: str) -> str:
        """The file with the change."""
        assert text[self.start : self.start + len(self.old)] == self.old
        return text[: self.start] + self.new + text[self.start + len(self.old) :]


def changes(text: str) -> list[Change]:
    """All changes of a source, by their offset."""
    code = _blank_comments(text)
    functions = [(match.start(), match[1]) for match in _FUNCTION.finditer(code)]
    found = sorted(set(_spans(code)))
    seen: Counter[tuple[str, str]] = Counter()
    result = []
    for start, end, new in found:
        where = next((name for at, name in reversed(functions) if at < start), "")
        shown = _shown(text, start, end, new)
        occurrence = seen[where, shown]
        seen[where, shown] += 1
        line = text.count("\n", 0, start) + 1
        result.append(Change(where, line, start, text[start:end], new, shown, occurrence))
    return result


def _blank_comments(text: str) -> str:
    """The text with comments and preprocessor lines as blanks: offsets stay."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", match[0])

    return re.sub(r"(?s)/\*.*?\*/|(?m:^#[^\n]*)", blank, text)


def _spans(code: str) -> Iterator[tuple[int, int, str]]:
    """Start offset, end offset and replacement of each change."""
    for match in _OPERATOR.finditer(code):
        for new in _BINARY[match[1]]:
            yield match.start(1), match.end(1), new
    for match in _NUMBER.finditer(code):
        yield match.start(), match.end(), f"{int(match[1], 0) + 1}{match[2]}"
    for match in _LIMIT.finditer(code):
        yield match.start(), match.end(), f"({match[0]} + 1u)"
    for old, new in _WORD.items():
        for match in re.finditer(rf"\b{old}\b", code):
            yield match.start(), match.end(), new
    for match in _NOT.finditer(code):
        yield match.start(), match.end(), ""
    for match in _IF.finditer(code):
        start, end = match.end(), _closing(code, match.end())
        yield start, end, "(true)"
        yield start, end, "(false)"
    for match in _TERNARY.finditer(code):
        begin = max(code.rfind(mark, 0, match.start()) for mark in ("= ", "return ", "(", ", "))
        begin += len(re.match(r"= |return |\(|, ", code[begin:])[0])  # type: ignore[index]
        yield begin, match.start(), f"!({code[begin : match.start()]})"
    for match in _STATEMENT.finditer(code):
        begin = match.start() + len(match[0]) - len(match[0].lstrip())
        yield begin, match.end(), ";"


def _closing(code: str, at: int) -> int:
    """The offset behind the bracket that closes the one at `at`."""
    depth = 0
    for place in range(at, len(code)):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if depth == 0:
            return place + 1
    raise ValueError("a bracket is not closed")


def _shown(text: str, start: int, end: int, new: str) -> str:
    """The line of the change before and after, with single spaces."""
    first = text.rfind("\n", 0, start) + 1
    last = text.find("\n", end)
    before, after = text[first:last], text[first:start] + new + text[end:last]
    return f"{' '.join(before.split())} -> {' '.join(after.split())}"
