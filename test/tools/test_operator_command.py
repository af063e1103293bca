"""gr00t operator shows a status in every form of terminal, and carries its verbs to a node."""

import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
from fcntl import ioctl
from termios import TIOCSWINSZ
from types import SimpleNamespace

import pytest
from ros_fixtures import (
    DISCOVERY,
    own_domain,
    spinning_node,
    started,
    wait_for_discovery,
    wait_for_success,
    wait_until,
)

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from diagnostic_msgs.msg import KeyValue  # noqa: E402
from node_robot import NEEDS_ROBOT, SWEEP, Rig  # noqa: E402
from rcl_interfaces.msg import ParameterType  # noqa: E402
from std_msgs.msg import Bool  # noqa: E402

from gr00t_ros.command_line import CLOSED_PIPE  # noqa: E402
from gr00t_ros.errors import SettingsError  # noqa: E402
from gr00t_ros.msg import PolicyStatus, StageLatency, StreamStatus  # noqa: E402
from gr00t_ros.ros.parameters import PARAMETERS  # noqa: E402
from gr00t_ros.session.mode import Mode  # noqa: E402
from gr00t_ros.tools import operator  # noqa: E402
from gr00t_ros.tools.operator_screen import (  # noqa: E402
    NodeView,
    columns,
    cut,
    figures,
    frame,
    line,
    remedy,
    screen,
)
from gr00t_ros.tools.policy_client import outside, typed  # noqa: E402
from gr00t_ros.watch.finding import RESET, RESUME, call  # noqa: E402
from gr00t_ros.watch.table import ROWS  # noqa: E402

COMMAND = (sys.executable, "-m", "gr00t_ros.tools.operator")


def view(age_s=0.3, **fields):
    """A node in motion with one late camera."""
    status = PolicyStatus(
        mode="replaying",
        reason="",
        episode=3,
        instruction="put the cube on the plate",
        robot="franka_fr3",
        embodiment_tag="oxe_droid",
        server="127.0.0.1:5555",
        streams=[
            StreamStatus(
                name="video.wrist",
                topic="/wrist",
                fresh=False,
                age_s=0.31,
                max_age_s=0.25,
                received=12,
                problem="nothing since 0.31 s",
            ),
            StreamStatus(name="state.arm", topic="/joints", fresh=True, age_s=-1.0),
        ],
        chunks_accepted=7,
        chunks_refused=2,
        latencies=[StageLatency(stage="inference", count=9, p50_s=0.08, p99_s=0.1, max_s=0.2)],
        details=[
            KeyValue(key="to limit fr3_joint4 [rad or m]", value="0.1234, at -0.2"),
            KeyValue(key="shadow", value="false"),
        ],
    )
    for name, value in fields.items():
        setattr(status, name, value)
    return NodeView("/gr00t_policy", 42, status, age_s)


# --- rendering -----------------------------------------------------------------------------


def test_the_screen_has_everything_that_the_status_has():
    """Mode, reason by its parts, remedy, episode, counts, streams, latencies, limits, details."""
    text = "\n".join(screen(view(mode="fault", reason="camera late; check the driver")))
    assert "/gr00t_policy  FAULT  (status 0.3 s old, ROS_DOMAIN_ID 42)" in text
    assert re.search(r"^reason +camera late$\n^ +check the driver$", text, re.MULTILINE)
    assert re.search(
        r"^remedy .*call ~/reset \(gr00t operator reset\): the arm moves again$", text, re.MULTILINE
    )
    assert re.search(r"^episode +3: put the cube on the plate$", text, re.MULTILINE)
    assert "7 accepted (0 clamped), 2 refused" in text
    assert re.search(r"^video.wrist +0.310 +0.250 +12 +LATE +nothing since", text, re.MULTILINE)
    assert re.search(r"^state.arm +never ", text, re.MULTILINE)
    assert re.search(r"^inference +80.0 +100.0 +200.0$", text, re.MULTILINE)
    assert re.search(r"^fr3_joint4 \[rad or m\] +0.1234, at -0.2$", text, re.MULTILINE)
    assert text.endswith("shadow: false")


@pytest.mark.parametrize("width", [30, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_no_reason_is_lost(width):
    """Wide characters count twice; a long reason goes on below itself."""
    reason = "camera exterior is late: " + "check " * 30 + "now"
    wide = "把红色方块放在盘子上" * 9
    lines = screen(view(reason=reason, instruction=wide), width)
    assert max(map(columns, lines)) <= width
    assert reason in " ".join(" ".join(lines).split())
    assert wide in "".join("".join(lines).split())


@pytest.mark.parametrize("width", range(1, 9))
def test_a_cut_text_fits_into_any_width(width):
    """Also where the mark of the cut does not fit, or half of a wide character would."""
    for text in ("abcdefghij", "方块方块方块", "a方b块c方"):
        assert columns(cut(text, width)) <= width


def test_text_of_the_node_cannot_steer_the_terminal():
    """Neither by escape sequences nor by line breaks."""
    evil = "\x1b[2Jgone\x07\r\nsecond\x9b1m"
    status = view(mode=evil, reason=evil, instruction=evil)
    status.status.streams[0].problem = status.status.details[1].value = evil
    for text in (*screen(status), *screen(status, 60), line(status)):
        assert text.isprintable(), text
    assert "\\u001b" in json.dumps(figures(status)), "JSON keeps the text, escaped"


def test_a_frame_is_drawn_over_the_last_one_and_never_scrolls():
    """One row stays free; what does not fit is counted."""
    first = frame(["one", "two"], 24, first=True)
    assert first == "\x1b[2J\x1b[Hone\x1b[K\ntwo\x1b[K\n\x1b[J"
    assert frame(["one"], 24, first=False) == "\x1b[Hone\x1b[K\n\x1b[J"
    short = frame([f"{number:40}" for number in range(30)], 10, first=False)
    assert short.count("\n") == 9 and "... 22 more lines" in short


def test_a_node_that_became_silent_is_not_shown_as_running():
    """On the screen, in a line and in JSON; an unconfigured node is silent by design."""
    gone = view(age_s=3.0)
    assert "no status for 3.0 s" in "\n".join(screen(gone))
    assert "hardware e-stop" in line(gone)
    assert "no status for 3.0 s" in figures(gone)["warnings"][0]
    assert view(age_s=300.0, mode="unconfigured").silence == ""
    assert view(age_s=1.9).silence == ""


def test_json_has_no_numbers_that_json_does_not_know():
    """An age that is unknown is null, and so is a number that is not finite."""
    status = view()
    status.status.latencies[0].max_s = float("nan")
    found = json.loads(json.dumps(figures(status), allow_nan=False))
    assert found["streams"][1]["age_s"] is None and found["latencies"][0]["max_s"] is None
    assert found["streams"][0]["age_s"] == 0.31 and found["details"][1]["value"] == "false"


def test_every_mode_has_a_remedy_that_names_the_node():
    """A command that is copied from the screen reaches the node on the screen.

    In shadow no arm moves, and nothing has to be stopped.
    """
    assert all(remedy(mode.value, "/gr00t_policy") for mode in Mode)
    shadow = [remedy(mode.value, "/gr00t_policy", shadow=True) for mode in Mode]
    assert all(shadow) and not any(re.search("the arm moves|stop the arm", one) for one in shadow)
    status = view()
    assert "gr00t operator pause" in status.remedy
    status.status.details[1].value = "true"
    assert status.shadow and "in shadow no controller is commanded" in "\n".join(screen(status))


def test_open_questions_are_shown_one_a_line():
    """A node that was not configured for them has all of them in its reason."""
    reason = "configure failed: my.yaml: 2 unsettled:\n- a: what? (assumed: 1)\n- b: where?"
    lines = screen(view(mode="unconfigured", reason=reason))
    assert {"           - a: what? (assumed: 1)", "           - b: where?"} <= set(lines)
    assert not any("\N{REPLACEMENT CHARACTER}" in one for one in lines)


def test_remedies_name_the_service_and_the_command_in_one_form():
    """Wherever a person reads them: in the node's reasons and on the operator's screen."""
    assert RESET == "call ~/reset (gr00t operator reset)"
    assert call("resume", "/b/policy") == "call ~/resume (gr00t operator --node /b/policy resume)"
    remedies = [row.remedy for row in ROWS]
    texts = [one for one in remedies if "~/" in one] + [
        one for one in (remedy(mode.value, "/gr00t_policy") for mode in Mode) if "~/" in one
    ]
    assert len(texts) > 9
    assert [one for one in texts if RESET not in one and RESUME not in one] == []
    assert "gr00t operator --node /b/policy resume" in remedy("paused_by_operator", "/b/policy")
    assert remedy("a mode of tomorrow", "/gr00t_policy") == ""


# --- the command line ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["paws"], "got 'paws'; did you mean pause?"),
        (["pause", "now"], "gr00t operator pause: unexpected now"),
        (["--nod", "/x", "pause"], "gr00t operator: unknown option --nod: did you mean --node?"),
        (["--nod"], "gr00t operator: unknown option --nod: did you mean --node?"),
        (["set", "a", "1", "--timout", "3"], "unknown option --timout: did you mean --timeout?"),
        (["status", "--timeout", "soon"], "got soon, expected seconds above 0"),
        (["--node", "a b", "pause"], "expected a full name such as /gr00t_policy"),
        (["status", "--timeout", "-1"], "expected seconds above 0"),
        (["instruction"], "TEXT"),
    ],
)
def test_wrong_words_are_refused_with_the_verb_and_2(words, message, capsys):
    """No node is looked for."""
    with pytest.raises(SystemExit) as end:
        operator.main(words)
    assert end.value.code == 2 and message in capsys.readouterr().err


def test_an_instruction_of_several_words_is_answered_with_the_line_that_quotes_them(capsys):
    """With the node that was named; nothing is sent."""
    assert operator.main(["--node", "/b/policy", "instruction", "put", "the", 'red "cup"']) == 2
    assert capsys.readouterr().err == (
        "gr00t operator: quote the text: gr00t operator --node /b/policy instruction "
        '"put the red \\"cup\\""\n'
    )


@pytest.mark.parametrize("words", [["e_stop", "--timeout", "soon"], ["estpo"]])
def test_an_e_stop_with_a_wrong_word_says_that_nothing_was_stopped(words, capsys):
    """So that nobody walks up to an arm that still moves."""
    with pytest.raises(SystemExit) as end:
        operator.main(words)
    assert end.value.code == 2
    assert "NOTHING WAS STOPPED: press the robot's hardware e-stop" in capsys.readouterr().err


def declared(kind):
    """The descriptor of a parameter x of this type."""
    return SimpleNamespace(name="x", type=kind)


BOOL, INTEGER = ParameterType.PARAMETER_BOOL, ParameterType.PARAMETER_INTEGER
DOUBLE, STRING = ParameterType.PARAMETER_DOUBLE, ParameterType.PARAMETER_STRING
LIST = ParameterType.PARAMETER_STRING_ARRAY


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        *((BOOL, "True", True), (BOOL, "false", False), (INTEGER, "-3", -3)),
        *((DOUBLE, "1", 1.0), (DOUBLE, "1e-3", 0.001), (STRING, "1", "1"), (STRING, "", "")),
    ],
)
def test_a_value_gets_the_type_that_the_node_declares(kind, text, value):
    """A whole number for a double is a double: the node would refuse another type."""
    got = typed(declared(kind), text)
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (BOOL, "1", "parameter x: got '1', expected true or false"),
        (INTEGER, "2.5", "got '2.5', expected a whole number"),
        (INTEGER, str(2**63), "expected a whole number"),
        (DOUBLE, "slow", "got 'slow', expected a finite number"),
        (DOUBLE, "nan", "got 'nan', expected a finite number"),
        (LIST, "a", "lists cannot be set"),
    ],
)
def test_a_value_of_another_type_is_not_sent(kind, text, message):
    """The message has the value and what was expected."""
    with pytest.raises(SettingsError, match=re.escape(message)):
        typed(declared(kind), text)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_a_value_out_of_range_is_refused_with_name_value_range_and_unit(name):
    """For every parameter of the node that has a range; one that is set at start only says so."""
    row = PARAMETERS[name]
    descriptor = row.descriptor()
    descriptor.name = name
    assert (outside(descriptor, row.default) == "") != row.read_only
    if row.read_only:
        assert f"start it with --ros-args -p {name}:=" in outside(descriptor, row.default)
    elif row.low is not None:
        assert outside(descriptor, row.low) == outside(descriptor, row.high) == ""
        value = row.high + 1
        span = f"{row.low:g} to {row.high:g} {row.unit}".rstrip()
        assert outside(descriptor, value) == f"parameter {name}: got {value:g}, expected {span}"


# --- a running node ------------------------------------------------------------------------


class Terminal:
    """The operator's terminal beside one node that moves its arm."""

    def __init__(self, rig, processes, capsys):
        self.rig, self._processes, self._capsys = rig, processes, capsys

    def __call__(self, *words):
        """Exit status, stdout and stderr of one command."""
        status = operator.main([*words, "--timeout", "20"])
        out, err = self._capsys.readouterr()
        if any(text in err for text in ("no answer within", "no service", "no status on")):
            pytest.fail(f"{DISCOVERY}waited 20 s in vain for {err}")
        return status, out, err

    def until_accepted(self, *words):
        """Give the command until the node carries it out; a failure has its last refusal."""
        said = ""

        def accepted():
            nonlocal said
            status, _, said = self(*words)
            return status == 0

        try:
            wait_until(accepted, f"an accepted {words[0]}")
        except pytest.fail.Exception as failure:
            pytest.fail(f"{failure}; the last answer: {said}")

    def start(self, *words):
        """The command as a process."""
        return self._processes.start(*COMMAND[1:], *words, name=f"operator-{words[0]}")


@pytest.fixture(scope="module")
def bring_up(tmp_path_factory):
    """Robot, server and node, in motion."""
    with (
        own_domain() as domain,
        started(tmp_path_factory.mktemp("operator")) as processes,
        spinning_node(domain) as node,
    ):
        rig = Rig(processes, node)
        rig.start_robot()
        rig.start_server(SWEEP)
        rig.move(max_camera_age_s=2.0, max_joint_age_s=1.0, sidecar_fault_s=600.0)
        yield rig, processes
        rig.close()


@pytest.fixture
def terminal(bring_up, capsys):
    """A terminal beside an arm in motion, whatever the test before has left."""
    rig, processes = bring_up
    capsys.readouterr()
    if rig.statuses[-1].mode == "fault":
        wait_for_success(rig.reset, "a reset")
    if rig.statuses[-1].mode == "paused_by_operator":
        wait_for_success(lambda: rig.ask("resume"), "a resume")
    rig.wait_for_motion()
    return Terminal(rig, processes, capsys)


@NEEDS_ROBOT
def test_status_reports_the_running_node(terminal):
    """As text without a cut, and as JSON with the joints that are closest to their limits."""
    button = terminal.rig.node.create_publisher(Bool, "/gr00t_policy/estop", 1)
    named = "let the button publish on topic /gr00t_policy/e_stop"
    wait_until(lambda: named in terminal("status")[1], "a button that nothing receives, named")
    terminal.rig.node.destroy_publisher(button)
    status, out, _ = terminal("status")
    assert status == 0
    assert "/gr00t_policy" in out and "state.joint_position" in out and "hold still" in out
    status, out, _ = terminal("status", "--json")
    found = json.loads(out)
    assert status == 0 and found["ros_domain_id"] == int(os.environ["ROS_DOMAIN_ID"])
    assert found["windows_published"] > 0 and {s["name"] for s in found["streams"]}
    assert {"assemble", "inference"} <= {stage["stage"] for stage in found["latencies"]}
    left = [pair for pair in found["details"] if pair["key"].startswith("to limit fr3_joint")]
    assert len(left) == 3 and all(float(pair["value"].split(",")[0]) > 0.0 for pair in left)


@NEEDS_ROBOT
def test_pause_resume_and_reset_are_carried_out_or_refused_in_the_nodes_words(terminal):
    """The node's message comes as it is, with exit status 1."""
    status, out, _ = terminal("pause")
    assert status == 0 and "until: gr00t operator resume" in out
    terminal.rig.wait_for_mode("paused_by_operator")
    status, _, err = terminal("reset")
    assert status == 1 and "only a fault can be reset" in err
    terminal.until_accepted("resume")
    terminal.rig.wait_for_motion()
    status, _, err = terminal("resume")  # last: before a pause it may count as its earlier press
    assert status == 1 and "only a pause by ~/pause" in err


@NEEDS_ROBOT
def test_an_instruction_begins_an_episode_or_is_refused(terminal):
    """Empty and too long are refused by the node, as they are by its service."""
    episode = terminal.rig.statuses[-1].episode
    status, out, _ = terminal("instruction", "move on")
    assert status == 0 and re.search(r"episode \d+ begins", out)
    terminal.rig.wait_for_status(  # the text may be there a tick before its episode
        lambda s: s.instruction == "move on" and s.episode > episode, "the instruction's episode"
    )
    assert terminal("instruction", " ")[::2] == (
        1,
        "gr00t operator: /gr00t_policy: got 0 bytes, expected 1 to 4096\n",
    )
    status, _, err = terminal("instruction", "x" * 4097)
    assert status == 1 and "got 4097 bytes" in err
    status, _, err = terminal("instruction", "\udcff")
    assert status == 2 and "expected UTF-8" in err


@NEEDS_ROBOT
def test_a_parameter_is_set_with_the_nodes_type_or_refused_in_the_nodes_words(terminal):
    """A name that the node does not have is wrong usage."""
    status, out, _ = terminal("set", "velocity_scale", "0.4")
    assert status == 0 and "velocity_scale is 0.4 now" in out
    status, _, err = terminal("set", "velocity_scale", "7")
    expected = "parameter velocity_scale: got 7, expected 0.05 to 0.8"
    assert (status, err) == (1, f"gr00t operator: /gr00t_policy: {expected}\n")
    status, _, err = terminal("set", "velocity_scale", "0.5")
    assert status == 1 and "while active it may only go down from 0.4" in err
    status, _, err = terminal("set", "port", "5556")
    assert status == 1 and "start it with --ros-args -p port:=5556" in err
    status, _, err = terminal("set", "velocty_scale", "0.4")
    assert status == 2 and "did you mean velocity_scale?" in err


@NEEDS_ROBOT
def test_an_e_stop_is_confirmed_and_its_cause_refuses_the_reset(terminal):
    """The process says that the node confirmed; a pressed button keeps the fault."""
    command = terminal.start("e-stop", "superfluous", "--timeout", "20")
    assert command.wait() == 0
    assert "stop confirmed by /gr00t_policy" in command.text()
    assert "pressed by service ~/estop" in terminal.rig.wait_for_mode("fault").reason
    terminal.rig.assert_rest()
    button = terminal.rig.node.create_publisher(Bool, "/gr00t_policy/e_stop", 1)
    wait_for_discovery(lambda: button.get_subscription_count() > 1, "both listeners")
    button.publish(Bool(data=True))
    named = "button topic ~/e_stop"
    # a reset that was asked for before the press would be refused for that
    terminal.rig.policy.wait_for_line(f"e-stop pressed by {named}")
    status, _, err = terminal("reset")
    assert status == 1 and named in err
    button.publish(Bool(data=False))
    terminal.until_accepted("reset")
    terminal.rig.wait_for_motion()
    terminal.rig.node.destroy_publisher(button)


@NEEDS_ROBOT
def test_watch_prints_json_lines_until_ctrl_c_and_ends_quietly_with_head(terminal):
    """Each line is one status; `| head` ends it without a traceback."""
    command = terminal.start("watch", "--json", "--timeout", "20")
    command.wait_for_line(r"^\{.*\}\n\{.*\}\n")
    assert command.stop() == 0
    found = [json.loads(text) for text in command.text().splitlines()]
    assert found[-1]["stamp_s"] > found[0]["stamp_s"]
    watch = f"'{sys.executable}' -m gr00t_ros.tools.operator status --watch --timeout 20"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {watch} | head -n 1"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == CLOSED_PIPE, result
    assert re.search(r"\d  \w+  episode \d+", result.stdout) and result.stderr == ""


@NEEDS_ROBOT
def test_watch_draws_one_screen_that_fits_the_terminal(terminal):
    """On a real terminal of 60 columns and 12 rows, until Ctrl-C."""
    master, slave = pty.openpty()
    ioctl(slave, TIOCSWINSZ, struct.pack("HHHH", 12, 60, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    command = subprocess.Popen(
        [*COMMAND, "watch", "--timeout", "20"],
        stdout=slave,
        stderr=slave,
        env={**environment, "TERM": "xterm"},
    )
    os.close(slave)
    drawn = b""
    while drawn.count(b"\x1b[J") < 3:
        drawn += os.read(master, 65536)
    command.send_signal(signal.SIGINT)
    assert command.wait(30.0) == 0
    os.close(master)
    frames = [f for f in drawn.decode().split("\x1b[H") if f.endswith("\x1b[J")]
    lines = frames[0].removesuffix("\x1b[J").replace("\x1b[K", "").splitlines()
    assert re.match(r"/gr00t_policy  [A-Z_]+  \(status \d", lines[0])
    assert len(lines) <= 11 and max(map(len, lines)) <= 60


@NEEDS_ROBOT
def test_a_node_that_is_not_there_is_named_with_those_that_are(terminal, capsys):
    """Exit status 2, as of every verb; an e-stop also says that it is not confirmed."""
    errors = []

    def pause_another():
        assert operator.main(["--node", "/other", "--timeout", "2", "pause"]) == 2
        errors.append(capsys.readouterr().err)
        return errors[-1]

    there = "policy node /gr00t_policy (choose it with --node)"
    wait_until(lambda: there in pause_another(), "the node in the list")
    domain = os.environ["ROS_DOMAIN_ID"]
    sought = f"no service /other/pause within 2 s in ROS_DOMAIN_ID {domain}; seen: "
    assert all(sought in error for error in errors)
    assert operator.main(["estop", "--node", "/other", "--timeout", "5"]) == 2
    err = capsys.readouterr().err
    assert "no answer yet: press the robot's hardware e-stop" in err
    assert "STOP NOT CONFIRMED: press the robot's hardware e-stop!" in err
    assert terminal.rig.statuses[-1].mode != "fault"
