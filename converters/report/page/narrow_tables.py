"""Gives each cell of a page's tables the title of its column, for narrow screens.

On a narrow screen the style sheet shows a row as a list, one cell a line after its title. Takes
HTML and returns it with one attribute added.
"""

from __future__ import annotations

from html import escape, unescape
from html.parser import HTMLParser


def with_column_titles(page: str) -> str:
    """The page with `data-title` on every cell of a table body whose table has a head."""
    titled = _Titled()
    titled.feed(page)
    titled.close()
    return "".join(titled.written)


class _Titled(HTMLParser):
    """Copies the HTML that it parses."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.written: list[str] = []
        self._titles: list[str] = []
        self._in_head = self._in_title = False
        self._column = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        text = self.get_starttag_text() or ""
        if tag == "table":
            self._titles = []
        elif tag == "thead":
            self._in_head = True
        elif tag == "tr":
            self._column = 0
        elif tag in ("td", "th"):
            text = self._cell(tag, text)
            self._column += int(dict(attrs).get("colspan") or 1)
        self.written.append(text)

    def _cell(self, tag: str, text: str) -> str:
        if self._in_head:
            self._titles.append("")
            self._in_title = True
        elif self._column < len(self._titles):
            title = escape(" ".join(self._titles[self._column].split()))
            return f'<{tag} data-title="{title}"{text[1 + len(tag) :]}'
        return text

    def handle_endtag(self, tag: str) -> None:
        if tag == "thead":
            self._in_head = False
        elif tag in ("td", "th"):
            self._in_title = False
        self.written.append(f"</{tag}>")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.written.append(self.get_starttag_text() or "")

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self._titles[-1] += data
        self.written.append(data)

    def handle_entityref(self, name: str) -> None:
        self._reference(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._reference(f"&#{name};")

    def _reference(self, text: str) -> None:
        if self._in_title:
            self._titles[-1] += unescape(text)
        self.written.append(text)

    def handle_decl(self, decl: str) -> None:
        self.written.append(f"<!{decl}>")

    def handle_comment(self, data: str) -> None:
        self.written.append(f"<!--{data}-->")
