"""Read a page's HTML by the few rules that pages of WSD keep to.

How browsers and parsers read malformed or unusual HTML differs, even between versions of Python. So
a page is read by a grammar in which all of them agree: every ``<`` begins an element or ends one,
values are in double quotes, every element is closed where it belongs, and what browsers read as
plain text has no ``<``. Only elements and attributes that pages of WSD have are accepted, each with
values that load nothing. What a page does load, scripts and styles, is in its head.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

INTEGRITY = "models-integrity"
# Pages have some thousands.
MAX_BYTES = 1 << 18
_SPACE = "\t\n\r "
_PATH = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = r"[A-Za-z][A-Za-z0-9:-]*"
_ATTRIBUTE = re.compile(rf'({_NAME})(?:="([^"<]*)")?')
_TOKEN = re.compile(
    rf"""(?P<text>[^<]+)"""
    rf"""|<(?P<start>[A-Za-z][A-Za-z0-9]*)(?P<attributes>([{_SPACE}]+{_NAME}(="[^"<]*")?)*)"""
    rf"""[{_SPACE}]*(?P<closed>/?)>"""
    rf"""|</(?P<end>[A-Za-z][A-Za-z0-9]*)>"""
)
_DOCTYPE = re.compile(r"<!doctype html>", re.IGNORECASE)
# Such characters change how some encodings are read, or are replaced by browsers.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Elements within each other. Browsers have a limit of their own.
_MAX_DEPTH = 64
# Browsers look that far for what says the encoding.
_CHARSET_BYTES = 1024
# Characters of what could not be read that a fault shows.
_SHOWN = 40

_HEAD = frozenset(("link", "meta", "script", "title"))
# What browsers that run scripts read as text, and other browsers as elements.
_NOSCRIPT = frozenset(("a", "br", "em", "p", "span", "strong"))
_SHAPES = frozenset(
    ("circle", "clippath", "defs", "ellipse", "g", "line", "path", "polygon", "polyline", "rect")
)
_BODY = _NOSCRIPT | frozenset((
    "aside", "button", "canvas", "code", "dd", "details", "dialog", "div", "dl", "dt", "fieldset",
    "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr",
    "input", "kbd", "label", "legend", "li", "main", "nav", "noscript", "ol", "option", "output",
    "pre", "progress", "section", "select", "small", "summary", "svg", "table", "tbody", "td",
    "textarea", "tfoot", "th", "thead", "tr", "ul",
))  # fmt: skip
# Elements that hold others than their parent does: name → names of what may be in them.
_CHILDREN: Mapping[str, frozenset[str]] = {
    "": frozenset(("html",)),
    "html": frozenset(("head", "body")),
    "head": _HEAD,
    "body": _BODY,
    "noscript": _NOSCRIPT,
    "svg": _SHAPES,
    "script": frozenset(),
    "textarea": frozenset(),
    "title": frozenset(),
}
_NO_TEXT = frozenset(("", "head", "html", "script"))
_VOID = frozenset(("br", "hr", "input", "link", "meta"))

_ANY = re.compile(r"[^<]*")
# What an address or a word can be written with; entities, which browsers decode, are not.
_WORDS = re.compile(r"[^&\\]*")
_SHAPE = re.compile(rf"[-+#%A-Za-z0-9., {_SPACE}]*")
# Of any element.
_PLAIN = frozenset((
    "checked", "class", "cols", "colspan", "dir", "disabled", "enterkeyhint", "autocomplete", "for",
    "form", "height", "hidden", "id", "inputmode", "lang", "max", "maxlength", "min", "minlength",
    "open", "pattern", "placeholder", "readonly", "required", "role", "rows", "rowspan", "scope",
    "selected", "size", "spellcheck", "step", "tabindex", "title", "translate", "value", "width",
))  # fmt: skip
_PLAIN_PREFIXES = ("aria-", "data-")
# Of SVG, whose values are those of CSS; one could load something.
_SHAPE_ATTRIBUTES = frozenset((
    "cx", "cy", "d", "fill", "fill-opacity", "fill-rule", "height", "opacity",
    "points", "r", "rx", "ry", "stroke", "stroke-linecap", "stroke-linejoin", "stroke-width",
    "transform", "viewbox", "width", "x", "x1", "x2", "y", "y1", "y2",
))  # fmt: skip
# Attributes of one element: (element, attribute) → their values.
_OWN: Mapping[tuple[str, str], re.Pattern[str]] = {
    ("a", "href"): re.compile(rf"(\./)?({_PATH}(/{_PATH})*)?(#[A-Za-z0-9_-]*)?"),
    ("button", "type"): re.compile(r"button|submit|reset"),
    ("g", "clip-path"): re.compile(r"url\(#[A-Za-z0-9-]+\)"),
    ("input", "type"): re.compile(r"checkbox|number|radio|range|search|text"),
    ("link", "href"): _WORDS,
    ("link", "integrity"): _WORDS,
    ("link", "rel"): re.compile(r"icon|modulepreload|stylesheet"),
    ("meta", "charset"): re.compile(r"utf-8", re.IGNORECASE),
    ("meta", "content"): _ANY,
    ("meta", "http-equiv"): re.compile(r"Content-Security-Policy"),
    ("meta", "media"): _WORDS,
    ("meta", "name"): re.compile(
        rf"application-name|author|color-scheme|description|generator|theme-color|viewport"
        rf"|{INTEGRITY}"
    ),
    ("meta", "property"): re.compile(r"og:(description|locale|site_name|title|type)"),
    ("script", "integrity"): _WORDS,
    ("script", "src"): _WORDS,
    ("script", "type"): re.compile(r"module"),
}
# The icon is in its address, so that browsers ask for none; an older page's is empty.
_ICON = re.compile(r"data:(image/svg\+xml)?,[^&]*")


class _MarkupError(Exception):
    """The rest of the page cannot be read: it is no markup of WSD's."""


@dataclass
class Page:
    """What a page says and loads.

    Attributes:
        faults: what a page of WSD never contains.
        loaded: address and integrity of each script and style; empty where there is none.
        policies: each Content-Security-Policy that is before the first script and style.
        models_integrity: each digest of the list of models.
    """

    faults: list[str] = field(default_factory=list)
    loaded: list[tuple[str, str]] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    models_integrity: list[str] = field(default_factory=list)


def read_page(text: str) -> Page:
    """Return what a page says and loads, and its faults; after some, nothing more is read."""
    page = Page()
    try:
        _Reader(page).read(text)
    except _MarkupError as error:
        page.faults.append(str(error))
    return page


class _Reader:
    """Reads a page from its begin to its end, and follows which elements are open."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._open: list[str] = []
        # Elements of the page's frame that began, in their order.
        self._frame: list[str] = []
        self._has_charset = False

    def read(self, text: str) -> None:
        """Read a whole page.

        Raises:
            _MarkupError: where browsers and parsers might not agree on what follows.
        """
        doctype = _DOCTYPE.match(text)
        if doctype is None:
            raise _MarkupError("does not begin with <!doctype html>")
        if found := _CONTROL.search(text):
            raise _MarkupError(f"has the control character {found[0]!r}")
        place = doctype.end()
        while place < len(text):
            token = _TOKEN.match(text, place)
            if token is None:
                raise _MarkupError(_describe(text[place : place + _SHOWN]))
            place = token.end()
            if token["text"]:
                self._take_text(token["text"])
            elif token["end"]:
                self._end(token["end"].lower())
            else:
                self._start(token["start"].lower(), token["attributes"], bool(token["closed"]))
            if place > _CHARSET_BYTES and not self._has_charset:
                raise _MarkupError("does not say at its begin that it is in UTF-8")
        if self._open or self._frame != ["html", "head", "body"]:
            raise _MarkupError("is not one <html> with a <head> and a <body>")

    @property
    def _parent(self) -> str:
        return self._open[-1] if self._open else ""

    def _take_text(self, text: str) -> None:
        if self._parent not in _NO_TEXT or not text.strip(_SPACE):
            return
        if self._parent == "script":
            raise _MarkupError("has an inline script")
        raise _MarkupError("has text where only elements belong, before <body> or after it")

    def _start(self, tag: str, attributes: str, closed: bool) -> None:
        around = [*reversed(self._open), ""]
        if tag not in next(_CHILDREN[one] for one in around if one in _CHILDREN):
            within = f" in <{self._parent}>" if self._parent else ""
            raise _MarkupError(f"has an element <{tag}>{within}")
        if tag in ("html", "head", "body"):
            self._frame.append(tag)
        found = self._read_attributes(tag, attributes)
        if self._parent == "head" and not self._has_charset and "charset" not in found:
            raise _MarkupError("does not say at its begin that it is in UTF-8")
        if tag == "meta":
            self._take_meta(found)
        elif tag == "script":
            if "src" not in found:
                raise _MarkupError("has an inline script")
            self._page.loaded.append((found["src"], found.get("integrity", "")))
        elif tag == "link":
            is_icon = found.get("rel") == "icon" and _ICON.fullmatch(found.get("href", ""))
            if not is_icon:
                self._page.loaded.append((found.get("href", ""), found.get("integrity", "")))
        # Browsers close elements of SVG in this way, and take no notice of it at others.
        if closed and tag not in _VOID | _SHAPES:
            raise _MarkupError(f"has <{tag}/>, which browsers do not take as closed")
        if tag not in _VOID and not closed:
            if len(self._open) == _MAX_DEPTH:
                raise _MarkupError(f"has more than {_MAX_DEPTH} elements within each other")
            self._open.append(tag)

    def _end(self, tag: str) -> None:
        if self._parent != tag:
            raise _MarkupError(f"ends an element <{tag}> that is not the last one open")
        self._open.pop()

    def _read_attributes(self, tag: str, attributes: str) -> dict[str, str]:
        """Return an element's attributes.

        Raises:
            _MarkupError: if one is there twice: not everybody takes the first.
        """
        found: dict[str, str] = {}
        for name, value in _ATTRIBUTE.findall(attributes):
            key = name.lower()
            if key in found:
                raise _MarkupError(f"an element <{tag}> has the attribute {key} twice")
            found[key] = value
            if not _is_harmless(tag, key, value):
                self._page.faults.append(
                    f"an element <{tag}> has the attribute {key}, or its value"
                )
        return found

    def _take_meta(self, found: Mapping[str, str]) -> None:
        if "charset" in found:
            self._has_charset = True
        if "http-equiv" in found:
            if self._page.loaded:
                self._page.faults.append("has its Content-Security-Policy after what it loads")
            self._page.policies.append(found.get("content", ""))
        if found.get("name") == INTEGRITY:
            self._page.models_integrity.append(found.get("content", ""))


def _is_harmless(tag: str, key: str, value: str) -> bool:
    """Tell whether pages of WSD have such an attribute, and values like this one."""
    if (tag, key) in _OWN:
        return _OWN[tag, key].fullmatch(value) is not None
    if tag in _SHAPES or tag == "svg":
        if key in ("id", "class") or key.startswith("aria-"):
            return True
        return key in _SHAPE_ATTRIBUTES and _SHAPE.fullmatch(value) is not None
    return key in _PLAIN or key.startswith(_PLAIN_PREFIXES)


def _describe(text: str) -> str:
    """Return what is wrong with a text that begins with a sign that no rule reads."""
    if text.startswith(("<!", "<?")):
        return "has a comment"
    return f"is not written as WSD writes pages: {text!r}"
