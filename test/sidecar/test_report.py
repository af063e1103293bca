"""Reports are aligned tables or valid JSON, without characters that could steer a terminal."""

import json

import pytest

from gr00t_ros.sidecar.target import Report, facts
from gr00t_ros.text_table import table


def test_columns_are_as_wide_as_their_widest_cell():
    """Two blanks apart, no blanks at the end."""
    assert table(("a", "bb"), [("long", 1), ("x", "")]) == "a     bb\n----  --\nlong  1\nx"


@pytest.mark.parametrize("show", [lambda text: table(("a",), [(text,)]), lambda t: facts({"a": t})])
def test_control_characters_of_a_server_do_not_reach_the_terminal(show):
    """A key may be any text."""
    shown = show("\x1b[2J\r\nfits")
    assert (
        "\x1b" not in shown
        and "\r" not in shown
        and "[2J" not in shown
        and "\ufffd\ufffdfits" in shown
    )


def test_not_a_number_is_text_in_json(capsys):
    """JSON has no NaN, and strict readers refuse it."""
    Report({"a": [float("nan"), {"b": float("-inf")}], "c": 1.5}, "").show(True)
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "a": ["nan", {"b": "-inf"}],
        "c": 1.5,
    }
