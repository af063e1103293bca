"""JSON of a file is read by one bounded reader; each other place that parses JSON has its reason.

Reads the sources (AST) and imports nothing of the package.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "gr00t_ros"
READERS = frozenset({"load", "loads", "JSONDecoder", "decoder", "scanner"})

# File -> the places that parse JSON, and why they are not robot/data_file.read_json.
ALLOWED: dict[str, tuple[int, str]] = {
    "robot/data_file.py": (1, "the reader itself"),
    "wire/codec.py": (1, "a text in a message, bounded by size and depth there"),
    "web/request.py": (1, "a message of the page's socket, which bounds it"),
    "demo/watcher.py": (1, "a message of the own simulated robot"),
    "supervise/watched_server.py": (1, "lines of the own watcher process"),
    "supervise/watcher.py": (1, "the first line from the node, by a file without our package"),
    "trace/perfetto_file.py": (1, "lines of the node that started this process"),
    "supervise/license.py": (1, "bounded there; finds a licence's version beside Infinity too"),
    "sidecar/exchange_file.py": (1, "a text in an array of an .npz file, not a file's text"),
    "rollout/command.py": (1, "a word of the command line"),
    "rollout/folder.py": (1, "what json.dumps has just written, in memory"),
}


def json_readers(source: str) -> Iterator[int]:
    """The line of each place that parses JSON by Python's own module, however it was imported."""
    tree = ast.parse(source)
    modules, names = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            ours = (one for one in node.names if one.name.split(".")[0] == "json")
            modules |= {one.asname or "json" for one in ours}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "json":
            names |= {one.asname or one.name for one in node.names if one.name in READERS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in READERS:
            if ast.unparse(node.value) in modules:
                yield node.lineno
        elif isinstance(node, ast.Name) and node.id in names:
            yield node.lineno


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import json\njson.loads(text)", [2]),
        ("import json\nvalue = [json.load(f) for f in files]", [2]),
        ("import json as j\nread = j.loads", [2]),
        ("from json import loads as read\nread(text)", [2]),
        ("def f():\n    import json\n    return json.JSONDecoder().decode(text)", [3]),
        ("import json\njson.dumps(value)\nyaml.load(text)", []),
    ],
)
def test_a_reader_is_found_however_it_was_imported(source: str, lines: list[int]) -> None:
    """And nothing that only writes."""
    assert list(json_readers(source)) == lines


def test_each_file_of_json_is_read_by_the_bounded_reader() -> None:
    """100,000 brackets end json.loads in a RecursionError, a huge file in no memory."""
    found = Counter(
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        for _ in json_readers(path.read_text(encoding="utf-8"))
    )
    assert dict(found) == {file: count for file, (count, _) in ALLOWED.items()}
