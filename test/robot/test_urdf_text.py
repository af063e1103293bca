"""The text of a URDF is read as the parser of robot_state_publisher reads it, within bounds."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.errors import SettingsError
from gr00t_ros.robot.urdf import text as module
from gr00t_ros.robot.urdf.text import urdf_root

ARM = """<robot name="arm">
  <link name="base"/>
  <link name="hand"/>
  <joint name="wrist" type="revolute">
    <parent link="base"/><child link="hand"/><limit lower="-1" upper="0.5" velocity="2"/>
  </joint>
</robot>
"""
# What people write, and tinyxml2 takes: most of it is no XML.
ODD = (
    "<!-- ---- the arm ---- -->",
    "<!-- the arm --->",
    "<!-- <joint> -->",
    "<gazebo><sensor:camera name='front'/></gazebo>",
    "<gazebo>&nbsp;<a b='&nbsp;&copy;'/></gazebo>",
    "<gazebo reference='a&b'>this & that</gazebo>",
    "<gazebo a='x<y' b='>'/>",
    "<gazebo a='1'b='2'/>",
    "<gazebo><![CDATA[ <a> & ]]></gazebo>",
    "<gazebo\n  a = '1'\n></gazebo >",
    "<gazebo>&#0;&#x110000;&#;</gazebo>",
    "<!-- \x0b \x1b[0m \x01 \ufffe -->",
    "\x0c",
    "<gazebo\x0bname='\x1b'\x0c>\x1b[0m</gazebo\x0c>",
    "<gazebo><joint name='wrist' type='revolute'/><link name='base'/></gazebo>",
)
ODD_BEGINS = (
    "\n<?xml version='1.0'?>\n",
    "\ufeff<?xml version='1.0'?>",
    "<?xml version='1.0' encoding='us'?>",
    "<?xml version='1.0' encoding='ISO-8859-1'?>",
    "<!DOCTYPE robot>",
    "<!DOCTYPE robot SYSTEM 'urdf.dtd'>",
    "<!-- -- -->\n",
)
PLACES = ('<link name="base"/>', '<joint name="wrist"', "</joint>", "</robot>")


def put(part, place):
    """What puts a part in front of a place of ARM."""
    return lambda text: text.replace(place, f"{part}{place}", 1)


@given(
    st.sampled_from(["", *ODD_BEGINS]),
    st.lists(st.builds(put, st.sampled_from(ODD), st.sampled_from(PLACES)), max_size=4),
    st.sampled_from(["", "\n", "<!-- -- -->", "\0", "\0 rest"]),
)
def test_what_tinyxml2_takes_says_the_same_of_the_robot(begin, changes, end):
    """Whatever stands around its links and joints, and deeper than these."""
    text = ARM
    for change in changes:
        text = change(text)
    root = urdf_root(f"{begin}{text}{end}", "arm.urdf")
    (joint,) = root.findall("joint")
    assert joint.get("name") == "wrist"
    assert joint.find("limit").attrib == {"lower": "-1", "upper": "0.5", "velocity": "2"}
    assert [one.get("name") for one in root.findall("link")] == ["base", "hand"]


@pytest.mark.parametrize("begin", ["", *ODD_BEGINS])
@pytest.mark.parametrize("part", ["", *ODD])
def test_the_odd_texts_are_those_that_tinyxml2_takes(begin, part):
    """MuJoCo reads URDF with it: else the test above would prove nothing of that parser."""
    mujoco = pytest.importorskip("mujoco")
    text = begin + put(part, "</robot>")(ARM)
    assert [one.name for one in mujoco.MjSpec.from_string(text).joints] == ["wrist"]


BOTH_READ = (
    "hello {}",
    "< robot >< x/>{}</robot >",
    "{} bye<!-- -->",
    "{}<!-- -- -->",
    "{}\x0c",
    "{}\0junk<",
    "<!FOO>{}",
    "\ufeff{}",
)
BOTH_REFUSE = (
    "{} bye",
    "{}<",
    "<robot>{}",
    "<robot a='1' a='2'>{}</robot>",
    "<robot>{}</ robot>",
    "<robot><a / >{}</robot>",
    "<robot><1x/>{}</robot>",
    "<robot><-x/>{}</robot>",
    "<robot><x 1a='b'/>{}</robot>",
    "<robot><x -a='b'/>{}</robot>",
    "<robot><x a='b'\x1c/>{}</robot>",
    "<robot><x\x1ba='b'/>{}</robot>",
    "<robot>a < b{}</robot>",
)


@pytest.mark.parametrize("around", [*BOTH_READ, *BOTH_REFUSE])
def test_tinyxml2_and_this_reader_refuse_the_same(around):
    """MuJoCo has it; what else it refuses in a URDF is no parse error."""
    mujoco = pytest.importorskip("mujoco")
    text, refuses = around.format(ARM), around in BOTH_REFUSE
    try:
        mujoco.MjSpec.from_string(text)
        theirs = False
    except ValueError as error:
        theirs = "parse error" in str(error)
    try:
        urdf_root(text, "arm.urdf")
        ours = False
    except SettingsError:
        ours = True
    assert (theirs, ours) == (refuses, refuses)


def test_an_attribute_has_the_characters_that_its_entities_stand_for():
    """Numbered ones too; one that stands for no character stays as it is."""
    root = urdf_root("<a b='&lt;&gt;&amp;&quot;&apos;&#65;&#x42;&amp;lt; &nbsp; &#0; &'/>", "a")
    assert root.get("b") == "<>&\"'AB&lt; &nbsp; &#0; &"


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ('<link name="base"/>', r"two links are named 'base', in lines 2 and 7"),
        (
            '<joint name="wrist" type="revolute"><limit lower="-3" upper="3"/></joint>',
            r"two joints are named 'wrist', in lines 4 and 7",
        ),
    ],
)
def test_a_name_twice_is_refused_with_both_places(part, says):
    """Which of them is the robot's would be a guess."""
    text = ARM.replace("</robot>", f"{part}</robot>")
    with pytest.raises(SettingsError, match=f"^arm.urdf: {says}, expected each name once"):
        urdf_root(text, "arm.urdf")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<robot", "no XML: line 1: '<robot'"),
        ("", "no XML: line 1: no element, expected <robot>"),
        ("\n<robot>\n<link>\n</robot>", "no XML: line 4: </robot>, expected .* <link> of line 3"),
        ("<robot>\n<link>", "no XML: line 2: <link> is not closed"),
        ("</robot>", "no XML: line 1: </robot> closes nothing"),
        ("<robot><!-- </robot>", "no XML: line 1: '<!-- </robot>'"),
        ("<robot><a b=1/></robot>", "no XML: .*'<a b=1/>.* an element"),
        ("<robot><a b='1' b='2'/></robot>", "two attributes b"),
        ("<robot/><robot/>", "<robot> is a second root"),
        ("<robot/> and more", "text after the root"),
        ("<robot>\0</robot>", "no XML: line 1: <robot> is not closed"),
        ("<robot>\n\ud800</robot>", r"no XML: line 2: the character '\\ud800'"),
        (ARM.replace("base", "\x1b", 1), r"no XML: line 2: the character '\\x1b' in name"),
        (ARM.replace("-1", "-\x0b1"), r"no XML: line 5: the character '\\x0b' in lower"),
        ("<robot><xacro:arm/></robot>", r"a xacro that was not expanded .*xacro:arm"),
        ("<robot xmlns:x='http://ros.org/xacro'><x:arm/></robot>", "a xacro that was not expanded"),
        (ARM.replace('"-1"', '"${low}"'), r"not expanded \(limit lower=.*low"),
        ('<!DOCTYPE r [<!ENTITY a "aa">]><robot>&a;</robot>', "has a DOCTYPE with declarations"),
        ("<a>" * 41 + "</a>" * 41, "nested more than 40 deep"),
        ("<r>" + "<a/>" * 400 + "</r>", "more than 400 elements"),
        ("<r>" + "<!---->" * 400 + "</r>", "more than 400 elements, attributes and comments"),
        ("<r " + " ".join(f"a{n}='1'" for n in range(400)) + "/>", "more than 400 elements, attr"),
        ("<r>" + " " * 9000 + "</r>", "9007 characters, expected 8000 at most"),
    ],
)
def test_a_text_that_is_no_urdf_within_bounds_is_refused(monkeypatch, text, says):
    """It comes from others: nothing in it may take all memory, or crash."""
    monkeypatch.setattr(module, "_MAX_PARTS", 400)
    monkeypatch.setattr(module, "MAX_BYTES", 8000)
    with pytest.raises(SettingsError, match=f"^crane.urdf: .*{says}"):
        urdf_root(text, "crane.urdf")


def test_expressions_count_only_where_something_is_read():
    """Not in what a simulator finds inside of <gazebo>."""
    text = ARM.replace("</robot>", "<gazebo><link name='$(env A)'/><a b='${c}'/></gazebo></robot>")
    assert urdf_root(text, "arm.urdf").tag == "robot"


def test_a_tag_with_more_attributes_than_a_text_may_have_is_given_up_at_the_bound(monkeypatch):
    """Whatever it ends with: the memory that it takes is bounded as the bound says."""
    monkeypatch.setattr(module, "_MAX_PARTS", 400)
    text = "<robot " + " ".join(f"a{n}='1'" for n in range(500_000))
    tracemalloc.start()
    try:
        with pytest.raises(SettingsError, match="more than 400 elements, attributes and comments"):
            urdf_root(text, "arm.urdf")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["<{}", "<a {}", "<{}='", "</{}"])
def test_a_name_without_an_end_is_read_once(text):
    """A reader that tries each shorter name would stop every thread of the node for minutes."""
    odd = text.format("a" * 1_000_000)
    with pytest.raises(SettingsError):
        urdf_root(odd, "/robot_description")
