"""gr00t web beside the real node, over real DDS: what is shown, and what the buttons do."""

import asyncio
import re
import signal

import pytest

pytest.importorskip("aiohttp", reason="no aiohttp: pip install aiohttp")

from node_robot import NEEDS_ROBOT, NODE  # noqa: E402
from ros_fixtures import wait_until  # noqa: E402
from web_browser import browser  # noqa: E402

from gr00t_ros.web.view import LIVE_S  # noqa: E402

pytestmark = NEEDS_ROBOT


def start_web(processes, *options):
    """The process, and its base address and tokens as it prints them."""
    child = processes.start("-m", "gr00t_ros.web", "--port", "0", *options, name="web")
    child.wait_for_line("watch: ")
    found = dict(re.findall(r"(command|watch): +(http\S+)/\?token=", child.text()))
    tokens = dict(re.findall(r"(command|watch): +\S+\?token=(\S+)", child.text()))
    return child, found["watch"], tokens


def test_the_page_shows_the_node_and_its_buttons_act(rig, processes):
    """Before the node starts, while it runs and is commanded, and while it is gone.

    The node goes on when the page's process is killed.
    """
    child, base, tokens = start_web(processes)

    async def watch_it():
        async with browser(base, tokens["command"]) as hands:
            await hands.wait(lambda: hands.last("state"), "a state before the node")
            assert not hands.last("state")["connected"]
            answer = await hands.command("estop")
            assert (
                not answer["ok"] and "NOT CONFIRMED: press the robot's hardware" in answer["text"]
            )
            await asyncio.to_thread(rig.start_moving)
            mode = lambda: hands.last("state").get("mode")  # noqa: E731 - a condition
            await hands.wait(
                lambda: mode() == "replaying" and hands.last("state")["connected"],
                "the mode replaying",
            )
            state = hands.last("state")
            assert state["severity"] == "ok" and state["streams"]
            cameras = hands.last("hello")["cameras"]
            assert cameras and hands.last("hello")["robot"] == rig.statuses[-1].robot
            await hands.wait(
                lambda: {index for index, *_ in hands.frames} == set(range(len(cameras))),
                "a picture of each camera",
            )
            known = lambda: [  # noqa: E731 - a condition
                row for row in hands.last("curves").get("measured", []) if any(row)
            ]
            await hands.wait(known, "measured joints in the curves")
            await buttons(hands, mode)
            await node_dies_and_returns(hands, mode)

    async def buttons(hands, mode):
        answer = await hands.command("pause")
        assert answer["ok"], answer
        await hands.wait(lambda: mode() == "paused_by_operator", "the pause")
        answer = await hands.command("instruction", "lift the cup")
        assert answer["ok"], answer
        await hands.wait(lambda: hands.last("state")["instruction"] == "lift the cup", "the text")
        while not (answer := await hands.command("resume"))["ok"]:
            assert "the cause persists" in answer["text"], answer  # a late machine's stream
            told = hands.last("state")
            await hands.wait(lambda told=told: hands.last("state") is not told, "a newer status")
        await hands.wait(lambda: mode() == "replaying", "the resumed motion")
        answer = await hands.command("estop")
        assert answer["ok"] and f"confirmed by {NODE}" in answer["text"]
        await hands.wait(lambda: mode() == "fault", "the latched fault")
        assert "e-stop" in hands.last("state")["reason"]
        answer = await hands.command("record_start")
        assert not answer["ok"] and "/gr00t_record" in answer["text"]

    async def node_dies_and_returns(hands, mode):
        rig.policy.signal(signal.SIGKILL)
        await hands.wait(lambda: not hands.last("state")["connected"], "the silence")
        state = hands.last("state")
        assert state["age_s"] >= LIVE_S and "no status for" in state["reason"]
        assert "hardware e-stop" in state["remedy"]
        answer = await hands.command("estop")
        assert not answer["ok"] and "NOT CONFIRMED" in answer["text"]
        await asyncio.to_thread(rig.start_policy)
        await hands.wait(lambda: hands.last("state")["connected"], "the node that is back")

    asyncio.run(asyncio.wait_for(watch_it(), 150))
    said = child.text()
    assert "estop: NOT done" in said and "estop: done" in said and "token, 127.0.0.1" in said
    before = len(rig.statuses)
    child.signal(signal.SIGKILL)
    child.wait()
    assert rig.change("configure")
    wait_until(lambda: len(rig.statuses) > before + 3, "statuses after the page's end")
