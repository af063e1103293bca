"""Scene files and meshes: what is read, and that every error names file, line, value, remedy."""

import re
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
from arm_urdf import robot, write_mesh

from gr00t_ros.collide.files import load_scene, read_mesh
from gr00t_ros.errors import SceneError, SettingsError
from gr00t_ros.robot.rotation import from_rpy, quaternion_from_matrix

SCENE = """\
margin: 0.02
frame: base
robot: {margin: 0.005, padding: {arm: 0.01}}
objects:
  table: {type: box, xyz: [0.4, 0, -0.02], size: [0.8, 1.2, 0.04], rpy: [0, 0, 0.1]}
  floor: {type: plane, xyz: [0, 0, -0.7], normal: [0, 0, 2]}
  pole: {type: cylinder, xyz: [1, 0, 0], radius: 0.05, length: 1.0, margin: 0.05, frame: hall}
  ball: {type: sphere, xyz: [1, 1, 0], radius: 0.1}
keep_out:
  person: {type: box, xyz: [-1, 0, 0], size: [0.5, 0.5, 2]}
keep_in:
  cell: {xyz: [0, 0, 0.5], size: [2, 2, 2], links: [arm]}
attached:
  cube: {type: box, link: arm, xyz: [0, 0, 0.1], size: [0.04, 0.04, 0.04], touch: [jaw]}
contact:
  - {links: [jaw, cube], objects: [table]}
  - {links: [jaw], objects: [ball], speed: 0.02, within: 0.1}
always_touching:
  - {links: [arm, jaw], evidence: touched in 2000 of 2000 random postures}
"""


def load(tmp_path, text):
    """The scene of a file with this text."""
    path = tmp_path / "scene.yaml"
    path.write_text(text)
    return load_scene(str(path))


def test_every_kind_of_thing_is_read(tmp_path):
    """Numbers, defaults and names arrive as the file has them."""
    scene = load(tmp_path, SCENE)
    solids = {solid.name: solid for solid in scene.solids}
    assert list(solids) == ["table", "floor", "pole", "ball", "person", "cell"]
    assert scene.self_margin_m == 0.005 and scene.padding_m == {"arm": 0.01}
    assert (solids["table"].margin_m, solids["pole"].margin_m) == (0.02, 0.05)
    assert (solids["table"].frame, solids["pole"].frame) == ("base", "hall")
    assert solids["table"].shapes[0].rotation == pytest.approx(from_rpy(0, 0, 0.1))
    assert solids["floor"].shapes[0].rotation[:, 2] == pytest.approx([0, 0, 1])
    assert len(solids["cell"].shapes) == 6 and solids["cell"].links == {"arm"}
    assert scene.carried[0].link == "arm" and scene.carried[0].touch == {"jaw"}
    assert scene.contacts["cube", "table"].speed_m_s == 0.10
    assert scene.contacts["jaw", "ball"].within_m == 0.1
    assert list(scene.always_touching) == [frozenset({"arm", "jaw"})]


def test_a_quaternion_is_the_same_as_its_rpy(tmp_path):
    """Both forms turn a thing alike."""
    x, y, z, w = quaternion_from_matrix(from_rpy(0.3, -0.2, 1.0))
    turned = load(tmp_path, SCENE.replace("rpy: [0, 0, 0.1]", f"quaternion: [{x}, {y}, {z}, {w}]"))
    assert turned.solids[0].shapes[0].rotation == pytest.approx(from_rpy(0.3, -0.2, 1.0))


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("size: [0.8, 1.2, 0.04]", "size: [0.8, 1.2, -1]", 5, "size[2]: got -1, expected a number"),
        ("size: [0.8, 1.2, 0.04]", "size: [800, 1200, 40]", 5, "sizes are in m, not in mm"),
        ("size: [0.8, 1.2, 0.04]", "sise: [1, 1, 1]", 5, "did you mean 'size'?"),
        ("type: sphere", "type: ball", 8, "expected one of box, cylinder, sphere, plane, mesh"),
        ("type: sphere, ", "", 8, "missing type, expected one of box"),
        ("normal: [0, 0, 2]", "normal: [0, 0, 0]", 6, "expected a direction"),
        ("rpy: [0, 0, 0.1]", "quaternion: [1, 1, 0, 0]", 5, "expected 1 within"),
        ("margin: 0.05", "margin: 0", 7, "expected a finite number from 0.0001 to 0.5"),
        ("margin: 0.02", "margin: 20", 1, "expected a finite number from 0.0001 to 0.5"),
        ("objects: [table]", "objects: [desk]", 16, "got desk, expected names of objects: ball"),
        ("objects: [ball]", "objects: [table]", 17, "jaw and table are given twice"),
        ("  person:", "  table:", 10, "the name 'table' is given twice"),
        ("links: [arm, jaw]", "links: [arm]", 19, "expected two links"),
        ("xyz: [1, 1, 0]", "xyz: [1, 1, .nan]", 8, "expected a finite number"),
    ],
)
def test_an_error_names_file_line_and_what_was_expected(tmp_path, old, new, line, message):
    """One line: file, line, place, what was got, what was expected."""
    assert old in SCENE
    with pytest.raises(SceneError) as caught:
        load(tmp_path, SCENE.replace(old, new))
    assert str(caught.value).startswith(f"{tmp_path / 'scene.yaml'}:{line}: ")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_scene_of_nothing_is_refused(tmp_path):
    """A file that checks nothing must not look like a check."""
    with pytest.raises(SceneError, match="got none of objects, keep_out, keep_in, attached"):
        load(tmp_path, "margin: 0.01\n")


def test_links_that_the_robot_lacks_are_named(tmp_path):
    """With the place in the file and the links that there are."""
    scene = load(tmp_path, SCENE.replace("touch: [jaw]", "touch: [finger]"))
    joint = ("turn", "revolute", "base", "arm", '<limit lower="0" upper="1"/>')
    jaw = ("slide", "prismatic", "arm", "jaw", '<limit lower="0" upper="1"/>')
    known = robot({"base": "", "arm": "", "jaw": ""}, [joint, jaw])
    with pytest.raises(SceneError, match="attached.cube: got finger, expected links of test.urdf"):
        scene.check_links(known)
    load(tmp_path, SCENE).check_links(known)
    named = load(tmp_path, SCENE.replace("  pole:", "  base:"))
    with pytest.raises(SceneError, match="base: a thing has the name of a link"):
        named.check_links(known)


def test_a_hull_contains_its_mesh(tmp_path):
    """All points of STL (both forms) and OBJ files are there: the hull contains every triangle."""
    random = np.random.default_rng(1)
    url = write_mesh(tmp_path / "part.stl", random)
    points = read_mesh(url, "here")
    rows = "\n".join(f"vertex {x} {y} {z}" for x, y, z in points)
    (tmp_path / "text.stl").write_text(f"solid part\n{rows}\nendsolid\n")
    rows = "\n".join(f"v {x} {y} {z}" for x, y, z in points)
    (tmp_path / "part.obj").write_text(f"# points\n{rows}\nvn 0 0 9\nf 1 2 3\n")
    beside = partial(read_mesh, beside=tmp_path)
    assert points.shape == (120, 3)
    assert beside("text.stl", "here") == pytest.approx(points)
    assert beside("part.obj", "here") == pytest.approx(points)


SOLID = """solid a
  facet normal 0 0 1
    outer loop
      vertex 0 0 0
      vertex 1 0 0
      vertex 0 1 0
    endloop
  endfacet
  facet normal 0 0 1
    outer loop
      vertex 0 0 1
      vertex 1 0 0
      vertex 0 1 0
    endloop
  endfacet
"""


@pytest.mark.parametrize(
    "end", ["endsolid a", "endsolid\n; made by hand\n", "endsolid a\n\0", " end solid a\r\n"]
)
def test_a_text_stl_is_whole_whatever_stands_behind_its_end(tmp_path, end):
    """Exporters write comments, zeros and spaces there."""
    (tmp_path / "part.stl").write_bytes((SOLID + end).encode())
    assert read_mesh("part.stl", "here", tmp_path).shape == (4, 3)


@pytest.mark.parametrize("rows", [2, 5, 12])
def test_a_text_stl_that_ends_in_a_later_solid_is_cut_off(tmp_path, rows):
    """The end of the first solid is not that of the file."""
    later = "\n".join(SOLID.splitlines()[:rows])
    (tmp_path / "part.stl").write_text(f"{SOLID}endsolid a\n{later}")
    with pytest.raises(SettingsError, match="is cut off"):
        read_mesh("part.stl", "here", tmp_path)


@pytest.mark.parametrize(
    ("unit", "scale"),
    [
        ('<unit name="millimeter" meter="0.001"/>', 0.001),
        ("<unit meter='0.0254' name='inch'/>", 0.0254),
        ('<unit name="meter" meter="1"/>', 1.0),
        ("", 1.0),
    ],
)
def test_a_dae_file_has_a_unit_of_its_own(tmp_path, monkeypatch, unit, scale):
    """In millimetres a gripper was as large as a house, and every start touched something."""
    corners = np.vstack([np.zeros(3), np.eye(3)])
    load = lambda path, force: SimpleNamespace(vertices=corners)  # noqa: E731
    monkeypatch.setitem(sys.modules, "trimesh", SimpleNamespace(load=load))
    text = f"<COLLADA><asset>{unit}<up_axis>Z_UP</up_axis></asset></COLLADA>"
    (tmp_path / "part.dae").write_text(text)
    points = read_mesh("part.dae", "here", tmp_path)
    assert points == pytest.approx(np.unique(corners, axis=0) * scale)


def test_a_mesh_of_a_package_is_found_in_the_ament_index(tmp_path, monkeypatch):
    """package:// starts at share of each prefix, the first one first."""
    folder = tmp_path / "second" / "share" / "arm_description" / "meshes"
    folder.mkdir(parents=True)
    write_mesh(folder / "part.STL", np.random.default_rng(2))
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}")
    assert len(read_mesh("package://arm_description/meshes/part.STL", "here")) == 120


@pytest.mark.parametrize(
    ("url", "content", "message"),
    [
        ("package://nowhere/a.stl", None, "no such file as .*share/nowhere/a.stl.*source the work"),
        ("gone.stl", None, "no such file as .*gone.stl; correct the path"),
        ("part.ply", b"ply", "is of format '.ply', expected STL, OBJ or DAE: convert it"),
        ("part.dae", b"<COLLADA/>", "DAE file"),
        ("empty.stl", b"solid empty\nendsolid\n", "no points"),
        ("flat.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\n", "all points in one plane"),
        (
            "cut.stl",
            b"solid cut\n" + b"vertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nvertex 0 0 1\n",
            r"cut.stl' is cut off: .* nor ends with endsolid",
        ),
        ("half.stl", b"\0" * 80 + b"\x02\0\0\0" + b"\1" * 60, "half.stl' is cut off"),
        ("bad.obj", b"v 0 0 zero\n", "expected an undamaged obj file"),
        ("nan.obj", b"v 0 0 nan\nv 1 0 0\nv 0 1 0\nv 0 0 1\n", "not finite"),
    ],
)
def test_a_mesh_that_cannot_be_read_is_named(tmp_path, url, content, message):
    """With the place that names it, its URL and what to do."""
    if content is not None:
        (tmp_path / url).write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_mesh(url, "robot.urdf: link 'arm'", tmp_path)
    assert re.search(message, str(caught.value)) and url in str(caught.value)
    assert str(caught.value).startswith("robot.urdf: link 'arm'")
