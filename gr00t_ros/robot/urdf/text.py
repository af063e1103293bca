"""Reads the text of a URDF or SRDF as elements, as far as robot_state_publisher's parser reads it.

That parser (tinyxml2) takes texts that are no XML: two hyphens in a comment, a prefix that is bound
to no namespace, a bare &, an entity that nobody declared, a blank before the declaration, control
characters. They are read here as it reads them; a parser of XML would refuse a description that
drives the robot. The text between elements has no meaning in a URDF and is not kept.

The text may come from anybody. So its size, depth and number of parts are bounded, and a document
type that declares anything is refused (entities could expand without bound). Refused besides are
control characters in the values that say what the robot is and, since one of the two would be a
guess, a second root and two links or two joints of one name.
"""

from __future__ import annotations

import re
from typing import Final, NoReturn
from xml.etree import ElementTree

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.data_file import MAX_DEPTH

Element = ElementTree.Element

MAX_BYTES: Final = 16 * 1024 * 1024
"""Largest text of a URDF; that of a humanoid with hands has 0.2 MB."""

_MAX_PARTS: Final = 400_000  # the URDF of a humanoid with hands has 30,000, in 3,000 elements
_UNEXPANDED: Final = (
    "{}: a xacro that was not expanded ({}): publish what the program xacro makes of it"
)
_PARTS: Final = ("link", "joint")
"""What a robot is made of: children of its root. Those deeper are not its own, such as the SDF
joints inside of <gazebo>."""
_READ: Final = frozenset({*_PARTS, "limit", "origin", "axis", "parent", "child", "mimic"})

_NAME: Final = r"[A-Za-z_:\x80-\U0010ffff][-\w.:\x80-\U0010ffff]*"
_VALUE: Final = r"\"[^\"]*\"|'[^']*'"
_BLANK: Final = r"[ \t\r\n\v\f]"  # as C's isspace
_TOKEN: Final = re.compile(
    rf"""(?P<skipped> <!--.*?--> | <!\[CDATA\[.*?\]\]> | <\?.*?\?> | <!(?!--|\[)[^\[>]*> )
    | </ (?P<end>{_NAME}) {_BLANK}* >
    | < {_BLANK}* (?P<start>{_NAME}) (?= {_BLANK} | [/>] )
    | (?P<text> [^<]+ )""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE: Final = re.compile(rf"{_BLANK}*({_NAME}){_BLANK}*={_BLANK}*({_VALUE})")
_START_ENDS: Final = re.compile(rf"{_BLANK}*(?P<empty>/?)>")
_NO_TEXT: Final = re.compile("[\ud800-\udfff]")
_NO_CHARACTER: Final = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ENTITY: Final = re.compile(r"&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9A-Fa-f]{1,6}));")
_ENTITIES: Final = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}


def urdf_root(text: str, where: str) -> Element:
    """The root element of a URDF; `where` is its name in messages.

    Raises SettingsError for a text that is no tree of elements, exceeds the bounds or names a link
    or joint twice, and for a xacro that was not expanded: macros or expressions are left in it.
    """
    if len(text) > MAX_BYTES:
        raise SettingsError(f"{where}: {len(text)} characters, expected {MAX_BYTES} at most")
    # the robot's own parser ends at the first NUL too
    tree = _Tree(text.partition("\0")[0].removeprefix("\ufeff"), where)
    root = tree.root()
    _refuse_unexpanded(root, tree.xacros, where)
    return root


def _refuse_unexpanded(root: Element, prefixes: set[str], where: str) -> None:
    for element in root.iter():
        prefix, colon, name = element.tag.partition(":")
        if colon and prefix in prefixes:
            raise SettingsError(_UNEXPANDED.format(where, f"it has an element xacro:{name}"))
    for element in (one for part in root if part.tag in _PARTS for one in part.iter()):
        if element.tag in _READ:
            for name, value in element.attrib.items():
                if "${" in value or "$(" in value:
                    shown = f'{element.tag} {name}="{value:.60}"'
                    raise SettingsError(_UNEXPANDED.format(where, shown))


class _Tree:
    """Makes the elements of one text; raises SettingsError with the line where it cannot."""

    def __init__(self, text: str, where: str) -> None:
        self._text, self._where = text, where
        self._root: Element | None = None
        self._open: list[tuple[Element, int]] = []  # and where each begins in the text
        self._count = 0
        self._named: dict[tuple[str, str], int] = {}
        self.xacros = {"xacro"}
        """Prefixes of elements that the program xacro would replace."""

    def root(self) -> Element:
        """Read the text once, from its begin to its end."""
        text, at = self._text, 0
        if bad := _NO_TEXT.search(text):
            raise self._error(bad.start(), f"the character {bad[0]!r}, expected text")
        while at < len(text):
            self._add(1)
            token = _TOKEN.match(text, at)
            if token is None:
                self._refuse(at)
            begin, at = at, token.end()
            if token["start"]:
                at = self._begin(token["start"], begin, at)
            elif token["end"]:
                self._end(token["end"], begin)
            elif at == len(text) and self._closed() and (token["text"] or "").strip():
                raise self._error(begin, "text after the root element, expected the end")
        if self._open:
            element, begin = self._open[-1]
            raise self._error(begin, f"<{element.tag:.60}> is not closed")
        if self._root is None:
            raise self._error(0, "no element, expected <robot>")
        return self._root

    def _closed(self) -> bool:
        return self._root is not None and not self._open

    def _begin(self, tag: str, begin: int, at: int) -> int:
        """Add the element that begins at `begin`; return where its start tag ends.

        `at`: where its attributes begin.
        """
        if len(self._open) == MAX_DEPTH:
            raise SettingsError(f"{self._where}: elements nested more than {MAX_DEPTH} deep")
        element = Element(tag)
        while attribute := _ATTRIBUTE.match(self._text, at):
            self._add(1)
            self._set(element, attribute[1], attribute[2][1:-1], begin)
            at = attribute.end()
        end = _START_ENDS.match(self._text, at)
        if end is None:
            self._refuse(begin)
        if self._open:
            self._open[-1][0].append(element)
        elif self._root is None:
            self._root = element
        else:
            raise self._error(begin, f"<{tag:.60}> is a second root, expected one: <robot>")
        if len(self._open) == 1 and tag in _PARTS:
            self._name(element, begin)
        if not end["empty"]:
            self._open.append((element, begin))
        return end.end()

    def _set(self, element: Element, name: str, value: str, begin: int) -> None:
        tag = element.tag
        if name in element.attrib:
            raise self._error(begin, f"<{tag:.60}> has two attributes {name:.60}, expected one")
        bad = _NO_CHARACTER.search(value)
        if bad and tag in _READ and self._of_a_part(tag):
            raise self._error(begin, f"the character {bad[0]!r} in {name:.60}, expected text")
        element.set(name, _ENTITY.sub(_character, value))
        if name.startswith("xmlns:") and "xacro" in value:
            self.xacros.add(name.removeprefix("xmlns:"))

    def _of_a_part(self, tag: str) -> bool:
        """Whether an element that begins here is a link or joint of the robot, or inside of one."""
        return (self._open[1][0].tag if len(self._open) > 1 else tag) in _PARTS

    def _add(self, parts: int) -> None:
        """Count begins and ends of elements, attributes, comments and texts."""
        self._count += parts
        if self._count > _MAX_PARTS:
            raise SettingsError(
                f"{self._where}: more than {_MAX_PARTS} elements, attributes and comments"
            )

    def _name(self, part: Element, at: int) -> None:
        name = part.get("name", "")
        first = self._named.setdefault((part.tag, name), at)
        if name and first != at:
            raise SettingsError(
                f"{self._where}: two {part.tag}s are named {name[:60]!r}, in lines "
                f"{self._line(first)} and {self._line(at)}, expected each name once: rename or "
                "remove one"
            )

    def _end(self, tag: str, at: int) -> None:
        if not self._open:
            raise self._error(at, f"</{tag:.60}> closes nothing")
        element, begin = self._open.pop()
        if element.tag != tag:
            begun = f"<{element.tag:.60}> of line {self._line(begin)}"
            raise self._error(at, f"</{tag:.60}>, expected the end of {begun}")

    def _refuse(self, at: int) -> NoReturn:
        shown = self._text[at : at + 40]
        if shown.startswith("<!DOCTYPE"):
            raise SettingsError(
                f"{self._where}: has a DOCTYPE with declarations, expected a URDF without them"
            )
        raise self._error(at, f"{shown!r}, expected an element or a comment with its end")

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1

    def _error(self, at: int, what: str) -> SettingsError:
        return SettingsError(f"{self._where}: no XML: line {self._line(at)}: {what}")


def _character(entity: re.Match[str]) -> str:
    """The character of an entity; the entity itself where it stands for none."""
    name, decimal, hexadecimal = entity.groups()
    if name:
        return _ENTITIES[name]
    code = int(decimal) if decimal else int(hexadecimal, 16)
    found = chr(code) if 0 < code <= 0x10FFFF else ""
    return entity[0] if not found or _NO_CHARACTER.match(found) else found
