"""Reads a page as its reader would: which text stands where, and what it claims to be."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

_VOID = {"meta", "link", "img", "br"}


@dataclass
class Figure:
    """One `data-json` element."""

    pointer: str
    format: str
    text: str = ""


@dataclass
class ReadPage(HTMLParser):
    """What `read_page` found.

    Attributes:
        figures: in the order of the page.
        loose: texts of the body that claim no place in the document; charts are left out.
        attributes: all, as (element, name, value).
        headings: levels, in their order.
        styles: text of the style sheets.
    """

    figures: list[Figure] = field(default_factory=list)
    loose: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str, str]] = field(default_factory=list)
    headings: list[int] = field(default_factory=list)
    styles: str = ""
    _open: list[str] = field(default_factory=list)
    _figure: Figure | None = None

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.attributes += [(tag, name, value) for name, value in given.items()]
        if tag not in _VOID:
            self._open.append(tag)
        if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append(int(tag[1]))
        if "data-json" in given:
            assert self._figure is None, "a figure inside a figure"
            self._figure = Figure(given["data-json"], given["data-format"])
            self.figures.append(self._figure)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag, f"</{tag}> does not close what was opened last"
        if tag == "span":
            self._figure = None

    def handle_data(self, data: str) -> None:
        if "style" in self._open:
            self.styles += data
        elif self._figure is not None:
            self._figure.text += data
        elif "body" in self._open and "svg" not in self._open:
            self.loose.append(data)

    def texts_of(self, pointer: str) -> list[str]:
        return [figure.text for figure in self.figures if figure.pointer == pointer]


def read_page(text: str) -> ReadPage:
    """Parse a page; fails where elements are not properly nested."""
    page = ReadPage()
    page.feed(text)
    page.close()
    assert page._open == []
    return page


def resolve(document: Any, pointer: str) -> Any:
    """What a JSON Pointer (RFC 6901) points at in a document as `json.loads` gives it; else LookupError."""
    value = document
    for token in pointer.split("/")[1:]:
        key = token.replace("~1", "/").replace("~0", "~")
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value
