"""An embodiment file is found by name, path or tag without ROS, or refused with the reason."""

import math
import os
from pathlib import Path

import pytest
import yaml

from gr00t_ros.errors import EmbodimentError
from gr00t_ros.robot import files
from gr00t_ros.robot.field import MOST_LETTERS, Field
from gr00t_ros.robot.files import find_embodiment, load_embodiment, read_yaml

CONFIG = Path(__file__).parents[2] / "config" / "embodiments"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Two installed prefixes and nothing beside the sources; returns their config folders."""
    monkeypatch.setattr(files, "__file__", str(tmp_path / "a" / "b" / "c" / "file.py"))
    overlay, prefix = tmp_path / "overlay", tmp_path / "prefix"
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{overlay}:{tmp_path / 'underlay'}")
    monkeypatch.setattr(files.sys, "prefix", str(prefix))
    folders = [root / "share/gr00t_ros/config/embodiments" for root in (overlay, prefix)]
    for folder in folders:
        folder.mkdir(parents=True)
    return folders


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_embodiment_is_found_by_name_and_reads_as_by_path(path):
    """Robots are data: each file that ships must load."""
    assert load_embodiment(path.stem).tag == load_embodiment(str(path)).tag
    assert load_embodiment(path.stem).source == str(path)


def test_an_installed_file_is_found_overlay_before_virtual_environment(installed):
    """A workspace's own file wins over the one that came with the package."""
    overlay, prefix = installed
    (prefix / "arm.yaml").touch()
    assert find_embodiment("arm") == prefix / "arm.yaml"
    (overlay / "arm.yaml").touch()
    assert find_embodiment("arm") == overlay / "arm.yaml"


def test_an_unknown_name_lists_where_it_looked_and_what_there_is(installed):
    """A typing error is seen at a glance."""
    overlay, _ = installed
    (overlay / "arm.yaml").touch()
    with pytest.raises(EmbodimentError) as error:
        find_embodiment("amr")
    assert "'amr'" in str(error.value) and "known: arm" in str(error.value)
    assert all(str(folder) in str(error.value) for folder in installed)


@pytest.mark.parametrize("name", ["missing.yaml", "./missing", "/no/such/place/arm"])
def test_a_path_is_never_searched_for(name, tmp_path, monkeypatch):
    """What looks like a path and is not there is an error, not another robot's file."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmbodimentError, match="no such file"):
        find_embodiment(name)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("robot: a\nrate_hz: 1\nrobot: b\n", ":3:1: .*key 'robot' is written twice"),
        ("state:\n  arm: {topic: /a, topic: /b}\n", ":2:20: .*key 'topic' is written twice"),
        ("robot: [1, 2\n", ":2:1: "),
        ("robot: !!python/object:os.system x\n", ":1:8: "),
        ("{[1]: 2}: 3\n", ":1:1: .*got a list or map as a key"),
        ("robot: \x00\n", ":1:8: not an embodiment file"),
        ("- robot\n", "got list at the top"),
        ("", "got NoneType at the top"),
        ("[" * 5000, ":1:41: .*nested more than 40 deep"),
        ("robot: a\n", "robot.yaml"),
        ("a: &a [*a]\n", ":1:4: .*an alias to what it stands in"),
        ("a: &a {<<: *a}\n", ":1:4: .*an alias to what it stands in"),
        ("a: " + "9" * 5000, ":1:4: .*a number of 5000 characters"),
        ("a: 1." + "1" * 5000, ":1:4: .*a number of 5002 characters"),
        ("a: !!int b\n", ":1:4: .*got 'b', expected a decimal number"),
        ("a: !!int 020\n", ":1:4: .*got '020', expected a decimal number"),
        ("a: !!float 1:30\n", ":1:4: .*got '1:30', expected a decimal number"),
        ("a: !!timestamp b\n", ":1:4: .*timestamp"),
        ("a: 2001-99-99\n", ":1:4: .*timestamp"),
        ("a: !!python/name:os.system\n", ":1:4: "),
        ("1: a\n", ":1:1: .*got '1' as a key, expected a text"),
        ('a: "\\ud800"\n', ":1:4: .*half a UTF-16 character"),
        ('a: "\\0"\n', ":1:4: .*a NUL"),
        ("a: 1\n--- \nb: 2\n", ":2:1: .*another document"),
        ("a: *b\n", ":1:4: .*undefined alias"),
        ("a\n" * 600_000, "1200000 bytes, expected 1048576 at most"),
        ("- a\n" * 30_000, "more than 20000 values"),
    ],
)
def test_a_broken_file_is_an_embodiment_error_that_names_file_and_line(tmp_path, content, where):
    """YAML's own errors never reach an operator, and the last of two equal keys never wins."""
    path = tmp_path / "robot.yaml"
    path.write_text(content)
    with pytest.raises(EmbodimentError, match=where) as error:
        load_embodiment(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("names: [robotiq_85_left_knuckle_joint]", "names: [1]", "names[0]: got 1"),
        ("rate_hz: 15.0 ", "rate_hz: fast ", "rate_hz: got 'fast'"),
        ("fit: pad", "fitt: pad", "unknown key 'fitt'"),
    ],
)
def test_a_value_that_is_wrong_is_said_with_its_line(tmp_path, old, new, line):
    """Not its place alone: the file has two hundred lines."""
    text = (CONFIG / "franka_droid.yaml").read_text().replace(old, new, 1)
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    with pytest.raises(EmbodimentError) as error:
        load_embodiment(str(path))
    number, said = str(error.value).removeprefix(f"{path}:").split(": ", 1)
    at = text[: text.index(new)].count("\n") + 1
    assert int(number) in ((at, at - 1, at - 2, at - 3) if "key" in line else (at,))
    assert line in said


OF_YAML_1_1 = {
    **{"1:30": "colon", "1:30.0": "colon", "-2:10": "colon", "12:30:45": "colon"},
    **{"020": "did you mean 20?", "-0360": "did you mean -360?", "+07": "did you mean 7?"},
    **{"0x10": "did you mean 16?", "0b11": "did you mean 3?", "-0X1f": "did you mean -31?"},
    **{"1_000": "did you mean 1000?", "1_0.5": "did you mean 10.5?", "._5": "got"},
    **{"1_5e-1": "did you mean 1.5?"},
}
"""Numbers of YAML 1.1, most of them with another value than a person reads -> what is said."""


@pytest.mark.parametrize(("written", "said"), OF_YAML_1_1.items())
@pytest.mark.parametrize(
    "old", ["rate_hz: 15.0", "action_horizon: 40", "size: [180, ", "margin: 0.05"]
)
def test_a_number_that_yaml_would_read_as_another_is_refused_with_its_line(
    tmp_path, old, written, said
):
    """Wherever a number stands."""
    text = (CONFIG / "franka_droid.yaml").read_text()
    assert old in text
    new = f"size: [{written}, " if "[" in old else f"{old.split()[0]} {written}"
    path = tmp_path / "robot.yaml"
    path.write_text(text.replace(old, new, 1))
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(EmbodimentError) as error:
        load_embodiment(str(path))
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert f"got '{written}', expected" in str(error.value) and said in str(error.value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *(("7", 7), ("-7", -7), ("+7", 7), ("0", 0), ("7.", 7.0), (".5", 0.5), ("0.50", 0.5)),
        *(("1e3", 1e3), ("1E-3", 1e-3), ("1.5e3", 1.5e3), ("-1.5e+3", -1.5e3), ("7e0", 7.0)),
        *((".inf", math.inf), ("-.INF", -math.inf), ("true", True), ("~", None)),
        *(("1.2.3", "1.2.3"), ("08", "08"), ("1:75", "1:75"), ("3d", "3d"), ("e3", "e3")),
        *(("1-2", "1-2"), ("v1", "v1"), ("10.0.0.1", "10.0.0.1"), ("1,5", "1,5"), ("-", "-")),
        *(("1:30", "1:30"), ("020", "020"), ("1_000", "1_000"), ("0x10", "0x10")),
    ],
)
def test_a_scalar_is_the_decimal_number_that_it_looks_like_or_its_own_text(
    tmp_path, written, value
):
    """Where a text is expected, it is what was typed: a version, a time, an identifier."""
    path = tmp_path / "robot.yaml"
    path.write_text(f"a: [{written if written != '1,5' else chr(34) + written + chr(34)}]\n")
    (found,) = read_yaml(path, "a", EmbodimentError)["a"]
    assert found == value and type(found) is type(value)


TWO_READINGS = ("1,234", "-1,571", " 12,000", "1,234,567")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(("1,5", "1.5"), ("0,785", "0.785"), ("1234,567", "1234.567"), ("1_234,5", "1234.5")),
        *((one, "") for one in TWO_READINGS),
        *(("1e400", ""), ("1_0e999", "")),
        *(("1_0e-400", ""), ("01234567890123456789", ""), ("1e" + "9" * 30, ""), ("9" * 5000, "")),
        *(("0x" + "f" * 400, ""), ("0xfffff", "1048575"), ("0xfffffffff", "68719476735")),
    ],
)
def test_only_a_number_of_the_same_value_is_suggested(written, meant):
    """Of 1,234 there are two readings; a number beyond a double has none."""
    for read in (lambda field: field.number(), lambda field: field.integer(0, 7)):
        with pytest.raises(EmbodimentError) as error:
            read(Field(written, "robot.yaml", "rate_hz"))
        suggested = str(error.value).partition("did you mean ")[2].removesuffix("?")
        assert suggested == meant
        assert ("a number has no comma" in str(error.value)) == (written in TWO_READINGS)


@pytest.mark.parametrize("file", sorted(CONFIG.parent.rglob("*.yaml")), ids=lambda file: file.name)
def test_no_file_that_we_ship_has_a_number_that_others_read_otherwise(file):
    """Every reader of YAML 1.1 finds the same values in it."""
    assert read_yaml(file, "a", EmbodimentError) == yaml.safe_load(file.read_text())


@pytest.mark.parametrize("letters", [247, 248])
def test_a_topic_is_as_long_as_ros_allows(tmp_path, letters):
    """A longer one would end the node with an error of rcl."""
    text = (CONFIG / "franka_droid.yaml").read_text()
    topic = "/" + "a" * (letters - 1)
    path = tmp_path / "robot.yaml"
    path.write_text(text.replace("topic: /joint_states", f"topic: {topic}"))
    assert path.read_text() != text
    if letters <= MOST_LETTERS:
        assert topic in {stream.topic for stream in load_embodiment(str(path)).state}
        return
    with pytest.raises(EmbodimentError, match="of at most 247 letters"):
        load_embodiment(str(path))


def test_the_same_key_in_two_places_is_no_duplicate(tmp_path):
    """Two cameras both have a topic; the error is about what is missing, not about keys."""
    path = tmp_path / "robot.yaml"
    path.write_text("video:\n  a: {topic: /a}\n  b: {topic: /b}\n")
    with pytest.raises(EmbodimentError) as error:
        load_embodiment(str(path))
    assert "twice" not in str(error.value)


def test_a_tag_finds_the_one_file_that_has_it():
    """As GROOT_EMBODIMENT_TAG names it; a tag of nobody or of two robots says which there are."""
    tag = load_embodiment("real_g1").tag
    assert load_embodiment(f"tag:{tag}").source.endswith("real_g1.yaml")
    # the Panda's file is a variant, and taken by its name alone
    assert load_embodiment("tag:oxe_droid").source.endswith("/franka_droid_n16.yaml")
    with pytest.raises(EmbodimentError, match="got .*desk6.yaml, .*so100"):
        load_embodiment("tag:new_embodiment")
    with pytest.raises(EmbodimentError, match="tag 'nobody'.*franka_droid.yaml"):
        load_embodiment("tag:nobody")


def test_aliases_are_counted_as_often_as_they_repeat(tmp_path):
    """A billion laughs in ten lines: refused at once, not repeated."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    path = tmp_path / "robot.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(EmbodimentError, match=r"yaml:5:5: .*more than 20000 values"):
        load_embodiment(str(path))


@pytest.mark.parametrize("data", ["robot: ä".encode("latin-1"), "robot: a".encode("utf-16")])
def test_another_encoding_is_said_with_its_line(tmp_path, data):
    """UTF-8 alone is taken, with or without its mark."""
    path = tmp_path / "robot.yaml"
    path.write_bytes(data)
    with pytest.raises(EmbodimentError, match="robot.yaml:1: byte 0x.* is no UTF-8"):
        load_embodiment(str(path))
    path.write_bytes("robot: ä".encode("utf-8-sig"))
    with pytest.raises(EmbodimentError, match="missing"):
        load_embodiment(str(path))


@pytest.mark.parametrize(
    "name", ["a" * 300 + ".yaml", "~nobody/a.yaml", "a\0.yaml", "a" * 300, "\0"]
)
def test_a_name_that_no_file_can_have_is_an_embodiment_error(name):
    """Too long, of no user, with a NUL."""
    with pytest.raises(EmbodimentError):
        load_embodiment(name)


def test_a_pipe_is_not_waited_for(tmp_path):
    """Nor is any device read."""
    os.mkfifo(tmp_path / "robot.yaml")
    for path in (tmp_path / "robot.yaml", "/dev/zero"):
        link = tmp_path / "link.yaml"
        link.unlink(missing_ok=True)
        link.symlink_to(path)
        with pytest.raises(EmbodimentError, match="a pipe, socket or device"):
            load_embodiment(str(link))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_said(tmp_path):
    """By the system's own words."""
    path = tmp_path / "robot.yaml"
    path.write_text("robot: a")
    path.chmod(0)
    with pytest.raises(EmbodimentError, match="Permission denied"):
        load_embodiment(str(path))


def test_a_folder_in_the_place_of_a_file_is_an_embodiment_error(tmp_path):
    """As is any file that cannot be read."""
    (tmp_path / "robot.yaml").mkdir()
    with pytest.raises(EmbodimentError, match="a folder, expected a file"):
        load_embodiment(str(tmp_path / "robot.yaml"))
