"""XML with the line of each element, safe against entity expansion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from ..fault import Place


class UnreadableError(Exception):
    """The file is not well-formed XML, or declares a document type."""

    def __init__(self, place: Place, message: str) -> None:
        super().__init__(message)
        self.place = place


@dataclass
class Node:
    """An element."""

    tag: str
    attributes: dict[str, str]
    place: Place
    children: list[Node] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """The pieces of its text, as the parser gives them."""

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def get(self, attribute: str, default: str = "") -> str:
        return self.attributes.get(attribute, default)

    def named(self, tag: str) -> list[Node]:
        """The children with this tag."""
        return [child for child in self.children if child.tag == tag]

    def walk(self, tag: str | None = None) -> Iterator[Node]:
        """This element and its descendants in document order, optionally only those with one tag."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if tag in (None, node.tag):
                yield node
            waiting.extend(reversed(node.children))


def parse(content: bytes, file: str) -> Node:
    """Return the root element.

    Raises UnreadableError, also for a document type: it could declare entities that expand, and PyCharm's files have
    none.
    """
    top = Node("", {}, Place(file))
    opened = [top]
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        node = Node(tag, attributes, Place(file, parser.CurrentLineNumber))
        opened[-1].children.append(node)
        opened.append(node)

    def text(data: str) -> None:
        opened[-1].texts.append(data)

    def reject_doctype(*_: object) -> None:
        raise UnreadableError(Place(file, parser.CurrentLineNumber), "it declares a document type")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: opened.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = reject_doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        message = f"it is not well-formed XML ({expat.ErrorString(error.code)})"
        raise UnreadableError(Place(file, error.lineno), message) from error
    except (LookupError, ValueError) as error:
        raise UnreadableError(Place(file, 1), f"its encoding cannot be read ({error})") from error
    return top.children[0]
