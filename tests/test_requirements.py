"""Numbered requirements in docs/ and the tests that name them, compared without running any test.

A requirement is a paragraph or list item `**R-LINK-3** One sentence with a bound.` in a page of
docs/. A test names it: `@pytest.mark.requirement("R-LINK-3")`, also on the cases of a table whose
marks a parametrized test takes over. Only literal markers count: they can be found by searching.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

_LINE = re.compile(r"^(?:- )?\*\*(?P<id>R-[A-Z]+-\d+)\*\* (?P<text>.*)$")
_MENTIONED = re.compile(r"\*\*(R-[A-Z]+-\d+)\*\*")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_BOUND = re.compile(
    r"\d|\b(?:never|only|every|each|always|no|none|nothing|neither|exactly|any|until)\b"
    r"|\bat (?:least|most)\b",
    re.I,
)


@dataclass(frozen=True)
class Requirement:
    """One numbered sentence of a page."""

    identity: str
    page: str
    text: str


def requirements(page: str, text: str) -> list[Requirement]:
    """The numbered sentences of a page; one goes on until an empty line, a list item or a table."""
    found: list[Requirement] = []
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if (match := _LINE.match(line)) is None:
            continue
        words = [match["text"]]
        for more in lines[at + 1 :]:
            if not more.strip() or more.startswith(("- ", "**", "|", "#", "```")):
                break
            words.append(more.strip())
        found.append(Requirement(match["id"], page, " ".join(words)))
    return found


def named_by_tests(source: str) -> dict[str, int]:
    """Requirement -> line, of every `pytest.mark.requirement(...)` in a test module."""
    named: dict[str, int] = {}
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "requirement"
        ):
            for argument in node.args:
                assert isinstance(argument, ast.Constant), f"line {node.lineno}: not a literal"
                assert isinstance(argument.value, str), f"line {node.lineno}: not a name"
                named[argument.value] = node.lineno
    return named


def _all_requirements(root: Path) -> list[Requirement]:
    pages = sorted((root / "docs").glob("*.md"))
    return [r for page in pages for r in requirements(page.name, page.read_text("utf-8"))]


def _all_named(root: Path) -> dict[str, str]:
    named = {}
    for path in sorted((root / "tests").rglob("*.py")):
        if path.name != Path(__file__).name:
            for identity, line in named_by_tests(path.read_text("utf-8")).items():
                named[identity] = f"{path.relative_to(root)}:{line}"
    return named


def test_a_page_is_read_as_written() -> None:
    text = (
        "# P\n\n**R-A-1** Stops\nwithin 3 s.\n**R-A-2** Never.\n\nMore. R-A-3\n- **R-B-1** Each.\n"
    )
    assert [(r.identity, r.text) for r in requirements("p.md", text)] == [
        ("R-A-1", "Stops within 3 s."),
        ("R-A-2", "Never."),
        ("R-B-1", "Each."),
    ]
    marked = "import pytest\n@pytest.mark.requirement('R-A-1', 'R-A-2')\ndef test_x(): ...\n"
    assert named_by_tests(marked) == {"R-A-1": 2, "R-A-2": 2}


def test_every_requirement_is_one_sentence_with_a_bound(root: Path) -> None:
    wrong = []
    for found in _all_requirements(root):
        ends = [match.end() for match in _SENTENCE_END.finditer(found.text)]
        if ends != [len(found.text)]:
            wrong.append(f"{found.page} {found.identity}: not one sentence: {found.text}")
        if not _BOUND.search(found.text):
            wrong.append(f"{found.page} {found.identity}: no bound: {found.text}")
    assert wrong == []


def test_numbers_are_unique_and_stand_where_they_are_read(root: Path) -> None:
    identities = [found.identity for found in _all_requirements(root)]
    assert len(identities) == len(set(identities)), sorted(identities)
    for page in sorted((root / "docs").glob("*.md")):
        text = page.read_text("utf-8")
        read = [found.identity for found in requirements(page.name, text)]
        assert _MENTIONED.findall(text) == read, f"{page.name}: a number in mid-line is not read"


def test_every_requirement_is_named_by_a_test_and_no_test_names_another(root: Path) -> None:
    written = {found.identity for found in _all_requirements(root)}
    named = _all_named(root)
    assert written, "docs/ has no numbered requirement"
    assert sorted(written - set(named)) == [], "no test names these requirements"
    unknown = {identity: where for identity, where in named.items() if identity not in written}
    assert unknown == {}, "these tests name requirements that docs/ does not have"
