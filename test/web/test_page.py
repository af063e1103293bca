"""The operator page in a real browser, with its server and a robot that nobody has.

GR00T_WEB_PICTURES=FOLDER keeps a picture of each view, with pictures of the simulated Franka.
"""

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from web_page_server import PageServer
from web_source import FakeSource

from gr00t_ros.web.admission import Tokens
from gr00t_ros.wire.access import Token

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="no Playwright: pip install playwright"
)
sync_api.expect.set_options(timeout=30_000)

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-component-update
    --disable-background-networking --disable-sync"""
AXE = Path(os.environ.get("GR00T_AXE", "/tmp/axe/node_modules/axe-core/axe.min.js"))
PICTURES = os.environ.get("GR00T_WEB_PICTURES", "")
DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
BUTTONS = ("#pause", "#resume", "#reset", "#estop", "#task-form button", "#record-start")

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason="no Chromium: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium, once for all tests."""
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        yield found
        found.close()


@pytest.fixture
def served():
    """A server with its source; more servers for other sources can be asked for."""
    servers = []

    def serve(**facts) -> PageServer:
        servers.append(PageServer(FakeSource(**facts)))
        return servers[-1]

    yield serve
    for server in servers:
        server.close()


@pytest.fixture
def open_page(browser):
    """Opens pages, and fails the test if one of them has complained in its console.

    A test that ends or changes the server sets `server_ends`: the browser itself reports refusals.
    """
    complaints: list[str] = []
    contexts = []

    def open_one(address: str, size=DESK, clock: bool = False, **settings):
        phone = size is PHONE
        more = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2} if phone else {}
        context = browser.new_context(viewport=size, **more, **settings)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: _keep(complaints, message))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        if clock:
            page.clock.install()
        page.goto(address)
        page.wait_for_selector("body[data-link=open]")
        return page

    open_one.complaints = complaints
    open_one.server_ends = False
    yield open_one
    for context in contexts:
        context.close()
    network = ("net::ERR_", "WebSocket", "status of 403") if open_one.server_ends else ()
    assert [one for one in complaints if not any(text in one for text in network)] == []


def _keep(complaints: list[str], message) -> None:
    if message.type in ("error", "warning"):
        complaints.append(message.text)


def _text(page, element: str, expected: str) -> None:
    sync_api.expect(page.locator(element)).to_contain_text(expected)


def _until(page, condition: Callable[[], bool]) -> None:
    """Wait until the source knows something; the page goes on meanwhile."""
    for _ in range(600):
        if condition():
            return
        page.wait_for_timeout(50)
    raise AssertionError("it did not come within 30 s")


def _pixels(page, number: int) -> str:
    return page.evaluate(f"document.querySelectorAll('.camera canvas')[{number}].toDataURL()")


def test_pictures_move(served, open_page):
    """Each camera shows one picture after another, under its own name."""
    page = open_page(served().address())
    for number, name in enumerate(("exterior_image_1_left", "wrist_image_left")):
        camera = page.locator(".camera").nth(number)
        sync_api.expect(camera).to_contain_text(name)
        sync_api.expect(camera).to_have_attribute("data-stamp", re.compile(r"^\d{19}$"))
        before = _pixels(page, number)
        page.wait_for_function(
            "([n, old]) => document.querySelectorAll('.camera canvas')[n].toDataURL() !== old",
            arg=[number, before],
        )


def test_a_picture_that_is_broken_is_told_and_the_next_one_comes(served, open_page):
    """The page asks for the next picture although this one could not be drawn."""
    server = served()
    whole = server.source.frame
    server.source.frame = lambda camera: (time.time_ns(), b"\xff\xd8 no picture")
    page = open_page(server.address())
    _text(page, ".camera >> nth=0", "the picture cannot be decoded")
    server.source.frame = whole
    _text(page, ".camera >> nth=0", "pictures/s")


def test_commands_are_sent_and_their_answers_shown(served, open_page):
    """Pause, resume, reset and an instruction; a refusal is told with the node's words."""
    server = served()
    page = open_page(server.address())
    page.click("#pause")
    _text(page, "#mode-label", "Paused by the operator")
    _text(page, "#drive-answer", "Pause: confirmed")
    page.click("#resume")
    _text(page, "#mode-label", "Moving by the policy")
    server.source.refused["reset"] = "there is no fault to reset"
    page.click("#reset")
    _text(page, "#drive-answer", "Reset: NOT confirmed. there is no fault to reset")
    page.fill("#task-text", "close the drawer")
    page.keyboard.press("Enter")
    _text(page, "#mode-task", "close the drawer")
    _text(page, "#task-history li >> nth=0", "close the drawer")
    page.click("#task-history li >> nth=2")
    assert page.input_value("#task-text") == "open the drawer"
    sent = [(name, value) for name, value, _ in server.source.commands]
    expected = [("pause", None), ("resume", None), ("reset", None)]
    assert sent == [*expected, ("instruction", "close the drawer")]


def test_without_an_answer_nobody_knows_whether_it_was_done(served, open_page):
    """The page says so, and not that it was not done: the arm may move again."""
    server = served()
    server.source.unanswered.add("resume")
    page = open_page(server.address())
    open_page.server_ends = True
    page.click("#resume")
    _until(page, lambda: bool(server.source.commands))
    server.stop()
    _text(page, "#drive-answer", "Resume: NOT confirmed. the connection ended")
    _text(page, "#drive-answer", "look at the mode whether it was done")


def test_the_recorder_is_commanded(served, open_page):
    """Start, stop and the labels, each as the recorder names them."""
    server = served()
    page = open_page(server.address())
    for button in ("start", "stop", "success", "failure", "discard"):
        page.click(f"#record-{button}")
        _text(page, "#recorder-answer", "confirmed")
        page.evaluate("document.getElementById('recorder-answer').textContent = ''")
    sent = [(name, value) for name, value, _ in server.source.commands]
    labels = [("record_label", "success"), ("record_label", "failure")]
    start_stop = [("record_start", ""), ("record_stop", None)]
    assert sent == [*start_stop, *labels, ("record_discard", None)]


@pytest.mark.parametrize("press", ["mouse", "keyboard"])
def test_the_e_stop_is_one_press_and_tells_that_the_node_confirmed(press, served, open_page):
    """One press is one command, without a question; the confirmation goes after the reset."""
    server = served()
    page = open_page(server.address())
    if press == "mouse":
        page.click("#estop")
    else:
        page.focus("#estop")
        page.keyboard.press("Enter")
    _text(page, "#estop-answer", "Confirmed by the node")
    _text(page, "#mode-label", "Fault")
    assert [name for name, _, _ in server.source.commands] == ["estop"]
    page.click("#reset")
    _text(page, "#mode-label", "Moving by the policy")
    sync_api.expect(page.locator("#estop-answer")).to_have_text("")


def test_a_confirmation_does_not_stand_beside_a_robot_that_moves(served, open_page):
    """Somebody else has reset the fault before a status told of it."""
    server = served()
    page = open_page(server.address())
    commanded = server.source.command

    async def command(name, value, who):
        answer = await commanded(name, value, who)
        server.source.become("replaying")
        return answer

    server.source.command = command
    page.click("#estop")
    _text(page, "#estop-answer", "Confirmed by the node")
    _text(page, "#estop-answer", "the robot moves again")


def test_an_e_stop_without_an_answer_sends_to_the_hardware(served, open_page):
    """After two seconds nothing is confirmed; an answer that comes later is told all the same."""
    server = served()
    server.source.unanswered.add("estop")
    page = open_page(server.address(), clock=True)
    page.click("#estop")
    _text(page, "#estop-answer", "Sending")
    _until(page, lambda: bool(server.source.commands))
    server.source.become("holding")
    _text(page, "#mode-label", "Waits for the policy")  # the connection is not called lost
    page.clock.run_for(2000)
    _text(page, "#estop-answer", "NOT confirmed: press the hardware e-stop")
    server.source.unanswered.clear()
    _text(page, "#estop-answer", "Confirmed by the node")


def test_an_e_stop_that_the_node_refuses_sends_to_the_hardware(served, open_page):
    """With the words of the answer."""
    server = served()
    server.source.refused["estop"] = "no answer of /gr00t_policy/estop within 1 s"
    page = open_page(server.address())
    page.click("#estop")
    _text(page, "#estop-answer", "NOT confirmed: press the hardware e-stop")
    _text(page, "#estop-answer", "no answer of /gr00t_policy/estop")


def test_an_e_stop_without_a_connection_sends_to_the_hardware(served, open_page):
    """At once: nothing was sent."""
    server = served()
    page = open_page(server.address())
    open_page.server_ends = True
    server.stop()
    page.wait_for_selector("body[data-link=lost]")
    page.click("#estop")
    _text(page, "#estop-answer", "NOT confirmed: press the hardware e-stop")


def test_a_wrong_token_sees_nothing(served, browser):
    """No page, no picture, no name of the robot; and no WebSocket."""
    server = served()
    context = browser.new_context()
    page = context.new_page()
    for token in ("", "wrong", "command-toke"):
        reply = page.goto(server.address(token))
        assert reply.status == 403
        assert "franka" not in page.content()
        opened = page.evaluate(
            """address => new Promise(resolve => {
                const socket = new WebSocket(address);
                socket.onopen = () => resolve("open");
                socket.onerror = () => resolve("refused");
            })""",
            f"ws://127.0.0.1:{server.port}/ws?token={token}",
        )
        assert opened == "refused"
    context.close()


def test_who_watches_has_no_buttons(served, open_page):
    """The same page, the same mode, and nothing to press but what has no effect on the robot."""
    server = served()
    server.source.become("paused")
    page = open_page(server.address("watch-token"))
    _text(page, "#mode-label", "Paused by a watch")
    _text(page, "#mode-do", "Check the camera's driver")
    _text(page, "#role", "Watching only")
    for button in BUTTONS:
        assert not page.locator(button).is_visible(), button
    assert page.locator("button:visible").count() == 0


def test_a_lost_connection_is_told_within_a_second(served, open_page):
    """Of the browser's own clock, although the socket stays open; then the page comes back."""
    server = served()
    page = open_page(server.address(), clock=True)
    _text(page, "#mode-label", "Moving by the policy")
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 1.5"))
    server.source.become("holding")
    _text(
        page, "#mode-label", "Waits for the policy"
    )  # at a clock that stands, so the silence begins here
    server.hold()
    page.clock.run_for(1000)
    assert page.inner_text("#banner-title") == "No connection to the page's server."
    assert page.inner_text("#mode-label") == "Connection lost"
    assert "hardware e-stop" in page.inner_text("#mode-press")
    server.go_on()
    page.clock.resume()
    page.wait_for_selector("body[data-link=open]")
    _text(page, "#mode-label", "Waits for the policy")
    sync_api.expect(page.locator("#banner")).to_be_hidden()


def test_the_page_connects_again_by_itself(served, open_page):
    """The server ends and comes back on the same port."""
    server = served()
    page = open_page(server.address())
    open_page.server_ends = True
    server.stop()
    _text(page, "#banner-title", "No connection to the page's server.")
    server.start()
    page.wait_for_selector("body[data-link=open]")
    _text(page, "#mode-label", "Moving by the policy")
    assert page.locator("#events li").count() == 1  # the same event is told once


def test_a_server_with_another_token_is_told(served, open_page):
    """A new start has made the page's token invalid: trying again does not help."""
    server = served()
    page = open_page(server.address())
    open_page.server_ends = True
    server.stop()
    server.tokens = Tokens(Token("another-watch-token"), None)
    server.start()
    _text(page, "#banner-title", "No access with this address.")


def test_a_silent_node_is_not_a_lost_connection(served, open_page):
    """The page names the node, shows no old mode as the present one, and comes back."""
    server = served()
    server.source.connected = False
    page = open_page(server.address())
    _text(page, "#banner-title", "The policy node is silent.")
    _text(page, "#mode-label", "Policy node silent")
    _text(page, "#mode-why", "The last was: Moving by the policy")
    assert page.evaluate("document.body.classList.contains('stale')")
    server.source.connected = True
    _text(page, "#mode-label", "Moving by the policy")
    assert not page.evaluate("document.body.classList.contains('stale')")


def test_a_node_that_is_not_configured_is_not_called_silent(served, open_page):
    """It publishes its mode only when that changes."""
    server = served()
    server.source.connected = False
    server.source.become("unconfigured")
    page = open_page(server.address())
    _text(page, "#mode-label", "Not configured")
    _text(page, "#mode-why", "only when that changes, the last time 3 s ago")
    sync_api.expect(page.locator("#banner")).to_be_hidden()


def test_numbers_that_nobody_knows_are_shown_as_unknown(served, open_page):
    """Null instead of ages, limits, latencies and positions: nothing is invented."""
    server = served()
    state, curves = server.source.state, server.source.curves
    stages = [{"stage": "encode", "p50_ms": None, "p99_ms": None, "max_ms": None}]
    latency = {"stages": stages, "limit_ms": None, "end_to_end_ms": None}
    streams = [{"name": "state.arm", "age_s": None, "limit_s": None, "ok": False}]
    unknown = {"latency": latency, "streams": streams, "episode": None, "recorder": None}
    server.source.state = lambda: state() | unknown
    nothing = [[None] * 109] * 7
    lost = {"predicted": nothing, "commanded": nothing, "measured": nothing}
    server.source.curves = lambda: curves() | lost
    page = open_page(server.address())
    _text(page, "#streams", "never received")
    _text(page, "#latency", "not measured")
    _text(page, "#latency-text", "Not measured yet.")
    _text(page, "#recorder-state", "no recorder is heard")
    _text(page, "#joints figure >> nth=0", "not measured")


def test_the_command_line_is_named_only_where_there_are_no_buttons(served, open_page):
    """The node's remedy names gr00t operator; this page has the button instead."""
    server = served()
    server.source.become("paused_by_operator")
    state = server.source.state
    server.source.state = lambda: state() | {"remedy": "call ~/resume (gr00t operator resume)"}
    page = open_page(server.address())
    _text(page, "#mode-press", "Resume: the arm moves again.")
    assert not page.locator("#row-do").is_visible()
    watching = open_page(server.address("watch-token"))
    _text(watching, "#mode-do", "gr00t operator resume")


def test_ages_latency_and_curves_are_told_as_words_too(served, open_page):
    """Bars have values for assistive technology, and what is late has a sign and words."""
    server = served()
    server.source.become("paused")
    page = open_page(server.address())
    late = page.locator("#streams li", has_text="video.wrist_image_left")
    sync_api.expect(late).to_contain_text("\u26a0 1.31 of 0.25 s")
    meter = late.locator("[role=meter]")
    sync_api.expect(meter).to_have_attribute("aria-valuetext", "1.31 of 0.25 s, too old")
    _text(
        page,
        "#latency-text",
        "Picture to plan: 161 ms. The action horizon covers 400 ms, 239 to spare.",
    )
    assert page.locator("#joints canvas").count() == 7
    _text(page, "#joints-gap", "Largest gap to commanded now")
    drawn = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, 150, 70).data).size > 8"
    _until(page, lambda: page.locator("#joints canvas").first.evaluate(drawn))


def test_a_bag_is_played(served, open_page):
    """Hold, seek and speed; no button for a robot."""
    server = served(source="bag", can_command=False, can_record=False, duration_s=60.0)
    page = open_page(server.address())
    _text(page, "#source", "From a bag")
    _text(page, "#bag-position", "12.0 of 60.0 s")
    assert not page.locator("#estop").is_visible()
    page.click("#bag-play")
    _text(page, "#bag-play", "Play the bag")
    page.focus("#bag-seek")
    page.keyboard.press("End")
    _text(page, "#bag-position", "60.0 of 60.0 s")
    page.select_option("#bag-speed", "2")
    _until(page, lambda: len(server.source.commands) == 3)
    sent = [(name, value) for name, value, _ in server.source.commands]
    assert sent == [("pause_bag", None), ("seek", 60), ("speed", 2)]


def test_reports_are_listed(served, open_page):
    """Each as a link with its kind."""
    server = served()
    at = {"time_s": 1_790_000_000, "path": "demo #1/"}
    server.source.reports = [{"name": "demo #1", "kind": "demo", "title": "Demo <b>1</b>", **at}]
    page = open_page(server.address())
    link = page.locator("#reports a")
    sync_api.expect(link).to_have_text("Demo <b>1</b>")
    sync_api.expect(link).to_have_attribute("href", "reports/demo%20%231/")
    _text(page, "#reports", "demo")


def test_the_token_leaves_the_address(served, open_page):
    """A picture of the screen must not give it away."""
    page = open_page(served().address())
    assert "token" not in page.url


def test_a_phone_has_no_horizontal_scroll_and_always_the_e_stop(served, open_page):
    """At the end of the page as at its start, and one tap suffices there."""
    server = served()
    server.source.become("fault")
    page = open_page(server.address(), PHONE)
    for scroll in ("0", "document.body.scrollHeight"):
        page.evaluate(f"scrollTo(0, {scroll})")
        box = page.locator("#estop").bounding_box()
        assert box["height"] >= 60 and box["width"] >= 300
        assert box["y"] >= 0 and box["y"] + box["height"] <= PHONE["height"]
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    page.tap("#estop")
    _text(page, "#estop-answer", "Confirmed by the node")
    assert [name for name, _, _ in server.source.commands] == ["estop"]


VIEWS = {
    "replaying": (
        "Moving by the policy",
        "put the red cube on the blue plate",
        "Pause to stop and hold",
    ),
    "paused": ("Paused by a watch", "newest sample is 1.31 s old", "Nothing. When the cause"),
    "fault": ("Fault", "from the controller's reference", "Reset when the cause is gone"),
    "silent": ("Policy node silent", "No status for 3.2 s", "the hardware e-stop"),
    "e_stop": ("Fault", "e-stop by the service", "Reset when the cause is gone"),
}


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_one_look_says_what_why_and_what_to_press(size, served, open_page, request):
    """In each mode all of it is inside the first screen, and nothing lies over it."""
    server = served()
    if PICTURES:
        server.source.picture = import_module("web_pictures").franka_pictures()
    page = open_page(server.address(), size)
    for view, texts in VIEWS.items():
        server.source.connected = view != "silent"
        if view == "e_stop":
            server.source.become("replaying")
            page.tap("#estop") if size is PHONE else page.click("#estop")
            _text(page, "#estop-answer", "Confirmed by the node")
        elif view != "silent":
            server.source.become(view)
        for text in texts:
            shown = page.locator(".mode").get_by_text(text)
            sync_api.expect(shown.first).to_be_visible()
            box = shown.first.bounding_box()
            middle = [box["x"] + 4, box["y"] + box["height"] / 2]
            on_top = "([x, y]) => document.elementFromPoint(x, y)?.closest('.mode') !== null"
            assert page.evaluate(on_top, middle), f"{view}: {text} is not on the first screen"
        _keep_picture(page, f"web_{view}_{request.node.callspec.id}.png")


def _keep_picture(page, name: str) -> None:
    if PICTURES:
        page.mouse.move(700, 700)
        page.wait_for_timeout(1200)  # so that the curves of this mode are drawn
        page.screenshot(path=str(Path(PICTURES) / name), scale="css")


@pytest.mark.skipif(not AXE.exists(), reason=f"no axe-core at {AXE}: npm install axe-core")
@pytest.mark.parametrize(
    ("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk, light", "phone, dark"]
)
def test_everybody_can_read_and_use_it(size, scheme, served, open_page):
    """Axe finds nothing serious or critical in any mode: contrast, labels, roles, focus."""
    server = served()
    # the policy of the page forbids every script but its own: the test's comes past it
    page = open_page(server.address(), size, color_scheme=scheme, reduced_motion="reduce")
    page.evaluate(AXE.read_text())
    for view in ("replaying", "paused", "fault", "silent"):
        server.source.connected = view != "silent"
        if view != "silent":
            server.source.become(view)
        _text(page, "#mode-label", VIEWS[view][0])
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        told = [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in grave]
        assert told == [], json.dumps(told, indent=1)


def test_a_violation_of_the_content_policy_would_be_seen(served, open_page):
    """The console's complaints hold it: so no test above had one."""
    page = open_page(served().address())
    foreign = "Object.assign(document.createElement('img'), {src: 'https://other.invalid/x'})"
    page.evaluate(f"document.body.append({foreign})")
    _until(page, lambda: bool(open_page.complaints))
    assert "Content Security Policy" in open_page.complaints.pop()
    open_page.complaints.clear()
