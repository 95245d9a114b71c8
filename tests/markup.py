"""HTML as a reader meets it: elements by tag, class and attribute, and their words."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"img", "input", "br", "meta", "link"}
LEAVES = {"path", "line", "circle", "rect", "polyline"}  # of SVG, written <path/>


class Element:
    """One element: its tag, attributes and words; ``all`` finds others inside."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element | str] = []

    @property
    def text(self) -> str:
        """The words inside, as one line."""
        words = (child if isinstance(child, str) else child.text for child in self.children)
        return " ".join("".join(words).split())

    def all(self, tag: str = "", class_: str = "", **attributes: str) -> list[Element]:
        """Every element inside of that tag, class and attributes, in the order of the page."""
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            named = tag in ("", child.tag) and class_ in ("", *child.attributes.get("class", "").split())
            if named and all(child.attributes.get(key) == value for key, value in attributes.items()):
                found.append(child)
            found += child.all(tag, class_, **attributes)
        return found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in LEAVES | VOID, tag
        self.open[-1].children.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag, "tags are closed in order"

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(html: str) -> Element:
    """The elements of ``html``, which must be well formed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    (root,) = reader.open
    return root
