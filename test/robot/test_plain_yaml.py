"""Files are read with libyaml as without it; errors are those of PyYAML's own parser."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from laws import examples
from mutations import PIECES, PLANT, planted

from gr00t_ros.robot.plain_yaml import (
    _READ_OTHERWISE,
    UNTIDY,
    _PlainLoader,
    _QuickLoader,
    compose_plain,
    load_plain,
)

CONFIG = Path(__file__).parents[2] / "config"
MARKS = ["key", "- a: 1\n  b: [2, {c: d}]\n", "\n? ", "...\n", "|2\n  a\n", "<<", "!!str ", "\r"]
ANY = st.sampled_from([*PIECES, *MARKS, *"ab,:?!&*%@`\\\x85"]) | st.text(max_size=2)
USUAL = st.sampled_from(
    [
        *(
            "a",
            "b: ",
            "- ",
            "\n",
            "\n  ",
            "\r\n",
            "\u2028",
            ", ",
            ": ",
            "# c\n",
            " #d",
            "1",
            "1e3",
            "~",
        ),
        *(
            "&a ",
            "*a",
            "<<: *a",
            "k: &a [1]\n",
            '"',
            "'",
            "\\x41",
            "\\\n",
            "[",
            "]",
            "{",
            "}",
            "x" * 1020,
        ),
        *("---\n", "...\n", "%YAML 1.1", "%YAML 1.2\n---\n", "|\n", ">-\n", "|2\n"),
    ]
)
AROUND = st.sampled_from(
    [("", ""), ("[", "]"), ("{", "}"), ("a: |\n ", ""), ('a: "', '"'), ("- ", "")]
)
WITH_LIBYAML = pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML without libyaml")


def outcome(read, text):
    """What `read` returns or raises, in words: nan is not equal to itself."""
    try:
        return repr(read(text))
    except (yaml.YAMLError, *UNTIDY) as error:
        return type(error), str(error)


def both(read, text):
    """The outcome with libyaml and without it."""
    with pytest.MonkeyPatch.context() as patched:
        outcomes = [outcome(read, text)]
        patched.setattr(yaml, "__with_libyaml__", False)
        return (*outcomes, outcome(read, text))


def places(text):
    """What each node of `text` is and where it begins."""
    return [(node.tag, node.start_mark.line, node.start_mark.column) for node in nodes(text)]


def nodes(text):
    """All nodes of `text`, an alias as often as it is used."""
    waiting = [compose_plain(text)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.Node):
            yield node
            waiting += node.value if isinstance(node, yaml.CollectionNode) else []
        else:
            waiting += node or ()


@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.yaml")), ids=lambda path: path.name)
def test_each_shipped_file_is_the_same(path):
    """Its values, and the places that errors name."""
    text = path.read_text()
    quick, own = both(load_plain, text)
    assert quick == own
    quick, own = both(places, text)
    assert quick == own


@WITH_LIBYAML
@pytest.mark.parametrize("path", sorted(CONFIG.rglob("*.yaml")), ids=lambda path: path.name)
def test_libyaml_alone_reads_each_shipped_file(path):
    """The quick way itself, which the readers leave without a word where it raises."""
    text = path.read_text()
    assert repr(_QuickLoader(text).get_single_data()) == repr(_PlainLoader(text).get_single_data())


@WITH_LIBYAML
@settings(max_examples=examples(1000), deadline=None)
@given(AROUND, st.lists(USUAL, max_size=9).map("".join))
def test_what_libyaml_alone_reads_is_what_pyyaml_reads(around, text):
    """With the lines that errors name: those of keys and of the items of lists."""
    text = text.join(around)
    if _READ_OTHERWISE.search(text):
        return
    quick = outcome(lambda text: _QuickLoader(text).get_single_data(), text)
    if isinstance(quick, str):
        assert quick == outcome(lambda text: _PlainLoader(text).get_single_data(), text)
        assert named_lines(_QuickLoader(text)) == named_lines(_PlainLoader(text))


def named_lines(loader):
    """The lines of all keys and items."""
    waiting, lines = [loader.get_single_node()], []
    while waiting:
        node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            lines += [key.start_mark.line for key, _ in node.value]
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            lines += [item.start_mark.line for item in node.value]
            waiting += node.value
    return lines


@settings(max_examples=examples(400), deadline=None)
@given(st.sampled_from(["franka_droid", "libero_panda"]), PLANT)
def test_a_mutated_file_is_the_same(name, plants):
    """With pieces of YAML in it anywhere."""
    text = (CONFIG / "embodiments" / f"{name}.yaml").read_text()
    quick, own = both(load_plain, planted(text, plants).decode("utf-8", "surrogatepass"))
    assert quick == own


@settings(max_examples=examples(2000), deadline=None)
@given(st.lists(ANY, max_size=12).map("".join))
def test_any_text_is_the_same(text):
    """Any succession of pieces of YAML, also where neither can read it."""
    quick, own = both(load_plain, text)
    assert quick == own


@pytest.mark.parametrize(
    "text", ["a: !", "[a?b, c]", "a: b\t", "\n\ufeff", "a: >-# b\n  c", "%YAML 1.1#\n---\na"]
)
def test_what_libyaml_reads_otherwise_is_left_to_pyyaml(text):
    """These are the smallest texts that libyaml alone takes, or takes for another value."""
    quick, own = both(load_plain, text)
    assert quick == own
