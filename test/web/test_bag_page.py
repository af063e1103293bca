"""A bag and reports through the page's server, as a browser gets them: HTTP and one WebSocket."""

import asyncio
from contextlib import asynccontextmanager

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")
pytest.importorskip("rosbags", reason="rosbags is not installed")
aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

import recorded_bag as rig  # noqa: E402
from made_episode import number_of  # noqa: E402
from page_browser import Browser  # noqa: E402
from recorded_bag import START_NS  # noqa: E402

from gr00t_ros.web.__main__ import main  # noqa: E402
from gr00t_ros.web.admission import Hosts, Tokens, new_token  # noqa: E402
from gr00t_ros.web.bag.source import ONLY_SHOWN, open_source  # noqa: E402
from gr00t_ros.web.reports import Reports  # noqa: E402
from gr00t_ros.web.server import WebServer  # noqa: E402

BEFORE_S = 0.5


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A recording of one episode: pictures, windows, and a status twice a second."""
    folder = tmp_path_factory.mktemp("recorded") / "recording"
    told = [rig.status(START_NS + n * 500_000_000, "replaying") for n in range(8)]
    rig.write_episode(folder, 0, [*rig.streams(4.0), *rig.by_policy(4.0), *told], seconds=4.0)
    return folder


@asynccontextmanager
async def served(recording, reports):
    """A client's session with the server of the recording, and the URL to it."""
    source = open_source(recording, "/gr00t_policy")
    tokens = Tokens(new_token(), new_token())
    server = WebServer(source, tokens, Hosts(True), print, Reports(reports))
    await server.start("127.0.0.1", 0)
    source.start()
    url = f"http://127.0.0.1:{server.port}"
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        try:
            page = await session.get(f"{url}/", params={"token": tokens.command.reveal()})
            assert page.status == 200
            yield session, url
        finally:
            await server.close()
            source.close()


def picture_number(jpeg):
    """The number that a picture shows."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    return number_of(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def test_a_browser_sees_a_bag_at_the_place_that_it_seeks(recording, tmp_path):
    """Pictures, mode, curves and events of that time; commands to a robot are refused."""

    async def look():
        async with (
            served(recording, tmp_path) as (session, url),
            session.ws_connect(f"{url}/ws", headers={"Origin": url}) as socket,
        ):
            browser = Browser(socket)
            assert await browser.ask("pause_bag")
            assert await browser.ask("seek", 2.3 + BEFORE_S) == (True, "at 2.8 s")
            wanted_ns = START_NS + 2_300_000_000
            await browser.until(lambda: browser.stamps() == [wanted_ns, wanted_ns])
            await browser.until(lambda: browser.has("state", position_s=2.8))
            await browser.until(lambda: browser.newest.get("curves", {}).get("t", [0])[-1:] == [0])
            assert await browser.ask("estop") == (False, ONLY_SHOWN)
            assert await browser.ask("instruction", "lift it") == (False, ONLY_SHOWN)
            return browser

    browser = asyncio.run(look())
    hello, state = browser.newest["hello"], browser.newest["state"]
    assert (hello["source"], hello["can_command"], hello["duration_s"]) == ("bag", False, 4.5)
    assert hello["cameras"] == ["front", "wrist"]
    assert picture_number(browser.pictures["front"][1]) == 46
    assert picture_number(browser.pictures["wrist"][1]) == 1046
    assert (state["mode"], state["instruction"], state["playing"]) == (
        "replaying",
        "lift it",
        False,
    )
    assert (state["connected"], state["age_s"]) == (True, 0.3)
    assert browser.newest["curves"]["names"] == hello["joints"]
    assert browser.newest["event"]["text"] == "Moving by the policy"


def test_reports_are_listed_and_run_no_script(recording, tmp_path):
    """The list, a page with a policy that runs nothing, and nothing beside the reports."""
    run = tmp_path / "reports" / "run"
    run.mkdir(parents=True)
    (run / "figures.json").write_text('{"success": false, "problem": "late"}')
    (run / "report.html").write_text("<title>run</title><script>alert(1)</script>")
    (tmp_path / "secret.json").write_text("{}")

    async def look():
        async with served(recording, tmp_path / "reports") as (session, url):
            listed = await (await session.get(f"{url}/reports")).json()
            page = await session.get(f"{url}/reports/{listed[0]['path']}")
            paths = ("run/../../secret.json", "run/%2e%2e/%2e%2e/secret.json", "%2e%2e/secret.json")
            statuses = []
            for path in paths:
                asked = aiohttp.client.URL(f"{url}/reports/{path}", encoded=True)
                statuses.append((await session.get(asked)).status)
            return listed, page, await page.text(), statuses

    listed, page, text, statuses = asyncio.run(look())
    assert [(one["name"], one["kind"]) for one in listed] == [("run", "demo")]
    assert listed[0]["title"] == "FAILURE: late"
    assert page.status == 200 and "<title>run</title>" in text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "sandbox" in policy and "script" not in policy
    assert set(statuses) == {404}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--bag", "gone"), "gone: no such bag, expected the folder that a recorder wrote"),
        (("--report", "gone"), "gone: no such folder, expected reports of gr00t eval"),
    ],
)
def test_gr00t_web_names_what_it_cannot_show(capsys, words, expected):
    """One line on stderr, and the exit status of a wrong input."""
    assert main([*words, "--port", "0"]) == 2
    assert expected in capsys.readouterr().err
