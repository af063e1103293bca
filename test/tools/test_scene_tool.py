"""gr00t scene: the verbs' answers, exit statuses and files; its schema and document."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from arm_urdf import urdf
from json_schema import fits

from gr00t_ros.collide import keys
from gr00t_ros.collide.files import load_scene
from gr00t_ros.errors import SceneError
from gr00t_ros.robot.files import read_yaml
from gr00t_ros.tools.scene import main
from gr00t_ros.tools.scene_schema import KINDS, scene_file_document, schema_text

ROOT = Path(__file__).resolve().parents[2]
TURN = '<axis xyz="0 0 1"/><limit lower="-3" upper="3"/>'
SCENE = """\
margin: 0.01
objects:
  wall: {type: box, xyz: [0.6, 0, 0], size: [0.1, 1, 1]}
"""


@pytest.fixture
def files(tmp_path):
    """A URDF of a ball, an arm inside of it and a tip; an SRDF; a scene with a wall."""
    ball, small = '<sphere radius="0.2"/>', '<sphere radius="0.05"/>'
    joints = [
        ("a", "revolute", "ball", "arm", TURN),
        ("b", "revolute", "arm", "knob", '<origin xyz="0.05 0 0"/>' + TURN),
        ("c", "revolute", "knob", "tip", '<origin xyz="0.4 0 0"/>' + TURN),
    ]
    links = {"ball": ball, "arm": small, "knob": small, "tip": small}
    (tmp_path / "r.urdf").write_text(urdf(links, joints))
    (tmp_path / "scene.yaml").write_text(SCENE)
    return tmp_path


def srdf(folder, *pairs):
    """Write r.srdf with these disabled pairs, and return its path."""
    rows = [f'<disable_collisions link1="{a}" link2="{b}" reason="Never"/>' for a, b in pairs]
    (folder / "r.srdf").write_text(f'<robot name="r">{"".join(rows)}</robot>')
    return str(folder / "r.srdf")


def test_pairs_writes_a_list_that_then_fits(files, capsys):
    """The written SRDF has the old pairs and the found one with its evidence."""
    robot, new = str(files / "r.urdf"), str(files / "new.srdf")
    old = srdf(files, ("arm", "tip"))
    given = ["pairs", "--robot", robot, "--srdf", old, "--samples", "100", "--write", new]
    assert main(given) == 0
    assert "touched in 100 of 100 random postures" in capsys.readouterr().out
    assert main(["pairs", "--robot", robot, "--srdf", new, "--samples", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["always"] == []
    text = Path(new).read_text()
    assert 'link1="arm" link2="tip" reason="Never"' in text and text.count("<disable") == 2
    assert main(given) == 2  # a file that exists is not overwritten
    assert "exists, expected a new file" in capsys.readouterr().err


def test_pairs_writes_yaml_that_a_scene_takes(files):
    """The rows of always_touching are read as they are written."""
    new = files / "touching.yaml"
    assert main(["pairs", "--robot", str(files / "r.urdf"), "--write", str(new)]) == 0
    (files / "scene.yaml").write_text(SCENE + new.read_text())
    found = load_scene(str(files / "scene.yaml")).always_touching
    assert list(found) == [frozenset({"ball", "knob"})]


def test_pairs_says_no_to_a_list_that_does_not_fit(files, capsys):
    """A link that is not there, by name."""
    old = srdf(files, ("arm", "gripper"))
    given = ["pairs", "--robot", str(files / "r.urdf"), "--srdf", old, "--samples", "50"]
    assert main(given) == 1
    assert "links that the URDF does not have: gripper" in capsys.readouterr().out


def test_check_measures_the_posture_that_is_asked_for(files, capsys):
    """The nearest pairs with their distances; 1 where one is within its margin, 2 for misuse."""
    scene, robot = str(files / "scene.yaml"), str(files / "r.urdf")
    given = ["check", scene, "--robot", robot, "--srdf", srdf(files, ("ball", "knob"))]
    assert main([*given, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["nearest"][0]["pair"] == ["tip", "wall"]
    assert report["nearest"][0]["distance_m"] == pytest.approx(0.05, abs=1e-5)
    (files / "scene.yaml").write_text(SCENE.replace("0.6", "0.555"))
    assert main([*given]) == 1
    assert "within its margin" in capsys.readouterr().out
    assert main([*given, "--at", "b=1.5"]) == 0
    capsys.readouterr()
    assert main([*given, "--at", "elbow=1.5"]) == 2
    assert "got elbow, expected joints of" in capsys.readouterr().err
    (files / "scene.yaml").write_text(SCENE.replace("size", "sise"))
    assert main([*given]) == 1
    assert re.search(r"scene.yaml:3: .*did you mean 'size'", capsys.readouterr().err)


@pytest.mark.parametrize("verb", ["check", "show", "pairs"])
def test_the_option_of_the_urdf_is_named_to_who_guesses_it(verb, files, capsys):
    """Not --srdf, which is only spelled alike."""
    scene = [] if verb == "pairs" else [str(files / "scene.yaml")]
    with pytest.raises(SystemExit) as ended:
        main([verb, *scene, "--urdf", str(files / "r.urdf")])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "unknown option --urdf: the URDF is given with --robot" in said


def test_show_draws_robot_and_scene(files, monkeypatch):
    """A PNG with two views that differ from each other and from an empty room."""
    monkeypatch.setenv("MUJOCO_GL", "egl")
    picture = files / "scene.png"
    given = ["show", str(files / "scene.yaml"), "--robot", str(files / "r.urdf")]
    assert main([*given, "--output", str(picture)]) == 0
    pixels = cv2.imread(str(picture))
    assert pixels.shape == (480, 1280, 3) and pixels.std() > 5.0
    assert np.abs(pixels[:, :640].astype(int) - pixels[:, 640:]).mean() > 1.0


def test_the_document_and_the_schema_have_every_key():
    """docs/scene_file.md is made from the tables; each kind of value is described."""
    assert (ROOT / "docs" / "scene_file.md").read_text() == scene_file_document()
    kinds = {key.kind for table in keys.TABLES for _, key in table.all()}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "scenes").glob("*.yaml")))
def test_shipped_scenes_are_read_and_fit_the_schema(path):
    """By the reader and by the schema, which refuses what the reader refuses."""
    schema = json.loads(schema_text())
    load_scene(str(path))
    content = read_yaml(path, "a scene", SceneError)
    assert fits(content, schema, schema)
    for broken in (
        {**content, "margin": 3},
        {**content, "things": 1},
        {**content, "objects": {"table": {"type": "box", "xyz": [0, 0, 0]}}},
        {"margin": 0.01},
    ):
        assert not fits(broken, schema, schema)
