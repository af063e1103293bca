"""Reads YAML as plain values, within bounds.

Plain values are texts, numbers, booleans, null, lists and maps with unique text keys. Values that
aliases repeat count as often as they are used, so that a small file cannot expand without bound.
Works without ROS.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar

import yaml

from gr00t_ros.robot.data_file import MAX_DEPTH, MAX_DIGITS, unicode_problem

_MAX_VALUES: Final = 20_000  # half a second for PyYAML; the largest file that ships has 1,700
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = {_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map")}
_NUMBER: Final = {
    _TAG + "int": re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"),
    _TAG + "float": re.compile(
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?$"
        r"|[-+]?[0-9]+[eE][-+]?[0-9]+$"
        r"|[-+]?\.(?:inf|Inf|INF)$"
        r"|\.(?:nan|NaN|NAN)$"
    ),
}
"""What is a number: as in the core schema of YAML 1.2 (10.3.2), without its octal and hex ones."""
UNTIDY = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""Exceptions that PyYAML raises beside its own."""


class _PlainLoader(yaml.SafeLoader):
    """SafeLoader within bounds and with decimal numbers only; its errors have a mark.

    PyYAML itself takes the last of two equal keys, any value as a key, and an alias that repeats
    any number of values, or the map or list that contains it. It takes 1:30 for 90, 020 for 16 and
    1e3 for a text; here the first two are texts, which no place of a number accepts.
    """

    yaml_constructors = {
        tag: constructor
        for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag in _PLAIN
    }

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in _NUMBER]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = self._depth = 0
        self._seen: dict[int, tuple[int, int]] = {}  # id of a node: values and levels in it

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._values, self._depth = self._values + 1, self._depth + 1
        self._bound(self._values, self._depth, self.peek_event().start_mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None:
            self._measure(node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode):
            if node.tag in _NUMBER and len(node.value) > MAX_DIGITS:
                raise _refused(f"a number of {len(node.value)} characters", node.start_mark)
            is_decimal = any(pattern.match(node.value) for pattern in _NUMBER.values())
            if node.tag in _NUMBER and not is_decimal:  # a tag in the file says that it is a number
                raise _refused(
                    f"got {node.value!r:.60}, expected a decimal number", node.start_mark
                )
            if problem := unicode_problem(node.value):
                raise _refused(problem, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except UNTIDY as error:
            raise _refused(str(error) or type(error).__name__, node.start_mark) from error

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.tag not in (_TAG + "str", _TAG + "merge"):
                got = repr(key.value)[:40] if isinstance(key, yaml.ScalarNode) else "a list or map"
                raise _refused(f"got {got} as a key, expected a text", key.start_mark)
            if key.value in seen:
                raise _refused(f"key '{key.value:.60}' is written twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def _measure(self, node: yaml.Node) -> tuple[int, int]:
        """Values and levels in `node`, aliases followed."""
        known = self._seen.get(id(node))
        if known is not None:
            if not known[0]:
                raise _refused("an alias to what it stands in", node.start_mark)
            return known
        self._seen[id(node)] = (0, 0)  # begun
        parts = [] if isinstance(node, yaml.ScalarNode) else list(node.value)
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in parts for part in pair]
        found = [self._measure(part) for part in parts]
        values = 1 + sum(count for count, _ in found)
        levels = 1 + max((level for _, level in found), default=0)
        self._bound(values, levels, node.start_mark)
        self._seen[id(node)] = (values, levels)
        return values, levels

    def _bound(self, values: int, levels: int, mark: Any) -> None:
        if values > _MAX_VALUES:
            raise _refused(f"more than {_MAX_VALUES} values, aliases followed", mark)
        if levels > MAX_DEPTH:
            raise _refused(f"nested more than {MAX_DEPTH} deep", mark)


for _tag, _pattern in _NUMBER.items():
    _PlainLoader.add_implicit_resolver(_tag, _pattern, list("+-.0123456789"))


class _QuickLoader(_PlainLoader):
    """_PlainLoader that lets libyaml scan and parse the text: a third of the time."""

    def __init__(self, text: str) -> None:
        super().__init__("")
        self._parser = yaml.CSafeLoader(text)

    def check_event(self, *choices: Any) -> bool:
        return self._parser.check_event(*choices)

    def peek_event(self) -> Any:
        return self._parser.peek_event()

    def get_event(self) -> Any:
        return self._parser.get_event()


_READ_OTHERWISE = re.compile(r"[!?\t\ufeff]|[|>][-+0-9]*#|%YAML")
"""Where libyaml may take what PyYAML's own parser refuses, or read it as another value.

A tag without a name, a question mark in a list between brackets, a tab before the end of a line, a
byte order mark within the text, a comment without a space behind the head of a block scalar or a
version.
"""
_Read = TypeVar("_Read")


def load_plain(text: str) -> object:
    """Return the plain values of `text`.

    Raises yaml.YAMLError or one of UNTIDY where it is no YAML, more than the bounds allow, or no
    plain values.
    """
    return _read(text, lambda loader: loader.get_single_data())


def compose_plain(text: str) -> yaml.Node | None:
    """Return the top node of `text`, None where it is empty; raises as `load_plain` does."""
    return _read(text, lambda loader: loader.get_single_node())


def _read(text: str, read: Callable[[_PlainLoader], _Read]) -> _Read:
    if yaml.__with_libyaml__ and not _READ_OTHERWISE.search(text):
        with contextlib.suppress(yaml.YAMLError, *UNTIDY):
            return _read_by(_QuickLoader(text), read)
    # PyYAML's own parser decides what is refused, and says better why and where.
    return _read_by(_PlainLoader(text), read)


def _read_by(loader: _PlainLoader, read: Callable[[_PlainLoader], _Read]) -> _Read:
    try:
        return read(loader)
    finally:
        loader.dispose()  # it refers to itself


def _refused(problem: str, mark: Any) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark)
