"""gr00t sidecar POLICY, faulty, lerobot, replay and start: runs a policy server.

start runs a server described by a profile; the others serve a policy in this process. Each prints
one line to stdout, ``READY tcp://HOST:PORT``, when clients can connect; all else goes to stderr.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.dataset import LeRobotDataset, ReplayPolicy
from gr00t_ros.serve.endpoints import Answers
from gr00t_ros.serve.faulty import FORM, KINDS, Faulty, read_fault
from gr00t_ros.serve.front import Wake
from gr00t_ros.serve.lerobot_policy import INSTALL, LerobotPolicy
from gr00t_ros.serve.policies import POLICIES, Policy, make_policy, state_widths
from gr00t_ros.serve.server import Delay, PolicyServer
from gr00t_ros.starting import starting
from gr00t_ros.supervise.launcher import LICENSE_VARIABLE
from gr00t_ros.supervise.profile import Overrides, load_profile
from gr00t_ros.supervise.supervisor import Phase, Severity, Supervisor
from gr00t_ros.wire.access import ENVIRONMENT_VARIABLE, read_token
from gr00t_ros.wire.address import LOOPBACK, listen_address, server_address
from gr00t_ros.wire.curve import read_server_keys
from gr00t_ros.wire.messages import Generation

CRASH_STATUS: Final = 70

_LOOK_S: Final = 0.1
_LEVELS: Final[dict[Severity, int]] = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# The options of `start` that replace a profile's value, with their help texts.
_TEXTS: Final = {
    "model_path": "checkpoint",
    "embodiment_tag": "embodiment tag as the server's option spells it; else the embodiment's",
    "device": "such as cuda:0",
    "python": "interpreter of the server's environment",
    "working_directory": "such as a checkout of Isaac-GR00T",
    "host": "address to serve on",
}

log = logging.getLogger("gr00t_ros.sidecar")


def main(argv: Sequence[str]) -> int:
    """Serve a policy by its name; see `serve` for the exit status."""
    parser = argparse.ArgumentParser(
        prog="gr00t sidecar",
        description="Serve a policy in place of a GR00T policy server, with the same messages.",
        epilog="example: gr00t sidecar wave --embodiment my_robot.yaml --port 5555",
    )
    names = ", ".join(sorted(POLICIES))
    parser.add_argument(
        "policy", help=f"one of {names}; or package.module:factory, Embodiment -> Policy"
    )
    add_options(parser)
    options = parser.parse_args(argv)
    return serve(options, lambda embodiment: make_policy(options.policy, embodiment))


def serve(
    options: argparse.Namespace,
    policy_of: Callable[[Embodiment], Policy],
    around: Callable[[Answers], Answers] | None = None,
) -> int:
    """Serve until SIGINT, SIGTERM or an allowed kill, then return 0; return 2 if it cannot start.

    options: those of `add_options`. around: wraps the endpoints, as faulty.Faulty does.
    """
    start_log()
    try:
        with starting():
            server = _server(options, policy_of, around)
    except Gr00tError as error:
        log.error("%s", error)
        return 2
    with server:
        server.stop_on(signal.SIGINT, signal.SIGTERM)
        print(f"READY {server.address}", flush=True)
        server.serve_forever()
    log.info("stopped: %s", server.counts)
    return 0


def start_log() -> None:
    """Write the log to stderr, one line for each event."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s sidecar: %(message)s",
    )


def _server(
    options: argparse.Namespace,
    policy_of: Callable[[Embodiment], Policy],
    around: Callable[[Answers], Answers] | None,
) -> PolicyServer:
    embodiment = load_embodiment(options.embodiment)
    token = read_token(options.token_file)
    server = PolicyServer(
        policy_of(embodiment),
        options.codec,
        options.flat,
        token,
        listen_address(options.host, options.port),
        strict=not options.no_strict,
        state_widths=state_widths(embodiment),
        allow_kill=options.allow_kill,
        delay=Delay(options.delay_ms, options.jitter_ms),
        seed=options.seed,
        around=around,
        keys=read_server_keys(options.keys) if options.keys else None,
    )
    if token is None and not options.keys and options.host not in LOOPBACK:
        log.warning("no token and no keys, and other machines can reach %s", server.address)
    return server


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:  # ZeroMQ would use it modulo 65536
        raise argparse.ArgumentTypeError(f"{text}: expected 0 to 65535")
    return int(text)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every verb that serves a policy."""
    add = parser.add_argument
    add("--embodiment", default="franka_droid", help="name or path of its YAML file (%(default)s)")
    add("--host", default="127.0.0.1", help="address to serve on, * for all (%(default)s)")
    add("--port", type=_port, default=5555, help="TCP port, 0 for a free one (%(default)s)")
    add(
        "--codec",
        choices=[item.value for item in Generation],
        default="B3",
        help="generation: A0 N1.5, A1 N1.6, A2 N1.7 EA, B2 and B3 N1.7, T torch (%(default)s)",
    )
    add("--flat", action="store_true", help="flat keys, as behind --use_sim_policy_wrapper")
    add("--token-file", help=f"file with the API token; else {ENVIRONMENT_VARIABLE} where set")
    add("--keys", metavar="FOLDER", help="use CURVE; admit the clients whose public keys are there")
    add("--no-strict", action="store_true", help="omit upstream's checks of observations")
    add("--allow-kill", action="store_true", help="let any client end this server, as upstream's")
    add("--delay-ms", type=float, default=0.0, help="artificial inference time (%(default)s)")
    add("--jitter-ms", type=float, default=0.0, help="its uniform spread, +- (%(default)s)")
    add("--seed", type=int, help="of all random numbers")


def faulty(argv: Sequence[str]) -> int:
    """Serve with faults; as `serve`, or CRASH_STATUS after a crash on purpose."""
    options = _faulty_parser().parse_args(argv)
    try:
        faults = [read_fault(text) for text in options.fault]
    except SettingsError as error:
        start_log()
        log.error("%s", error)
        return 1
    codec = Generation(options.codec).array_codec

    def around(inner: Answers) -> Answers:
        return Faulty(inner, faults, codec, lambda: os._exit(CRASH_STATUS), options.seed)

    return serve(options, lambda embodiment: make_policy(options.policy, embodiment), around)


def _faulty_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t sidecar faulty",
        description="A policy server that fails on purpose.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="kinds:\n"
        + "\n".join(f"  {kind:8} {text}" for kind, text in KINDS.items())
        + "\n\nexample: gr00t sidecar faulty --policy hold --fault nan:3 --port 5555",
    )
    parser.add_argument("--policy", default="hold", help="the policy to serve (%(default)s)")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar=FORM,
        help="as nan, drop:3, late=5000:1, error=text:5+, crash:20, nan:10%%; may be repeated",
    )
    add_options(parser)
    return parser


def lerobot(argv: Sequence[str]) -> int:
    """Serve a checkpoint through LeRobot; see `serve` for the exit status."""
    parser = argparse.ArgumentParser(
        prog="gr00t sidecar lerobot",
        description=f"Serve a GR00T N1.7 checkpoint through LeRobot. Needs {INSTALL}.",
        epilog="example: gr00t sidecar lerobot --checkpoint FOLDER --embodiment my_robot.yaml",
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FOLDER", help="a checkpoint in NVIDIA's layout")
    add("--tag", help="embodiment tag of the checkpoint; else the embodiment file's")
    add("--device", default="cuda", help="of torch (%(default)s)")
    add("--backbone", metavar="FOLDER", help="the backbone's tokenizer; else from the hub")
    add_options(parser)
    options = parser.parse_args(argv)

    def policy(embodiment: Embodiment) -> LerobotPolicy:
        tag = options.tag or embodiment.tag
        return LerobotPolicy(Path(options.checkpoint), tag, options.device, options.backbone)

    return serve(options, policy)


def replay(argv: Sequence[str]) -> int:
    """Serve the actions of a dataset; see `serve` for the exit status."""
    parser = argparse.ArgumentParser(
        prog="gr00t sidecar replay",
        description="Serve a dataset's actions; reset with episode_index and step_index.",
        epilog="example: gr00t sidecar replay --dataset FOLDER --embodiment my_robot.yaml",
    )
    parser.add_argument(
        "--dataset", required=True, metavar="FOLDER", help="LeRobot v2, v2.1 or v3, GR00T's flavour"
    )
    parser.add_argument(
        "--execution-horizon",
        type=int,
        default=8,
        help="steps that a client executes of each chunk (%(default)s)",
    )
    add_options(parser)
    options = parser.parse_args(argv)

    def policy(embodiment: Embodiment) -> ReplayPolicy:
        return ReplayPolicy(LeRobotDataset(options.dataset), embodiment, options.execution_horizon)

    return serve(options, policy)


def start(argv: Sequence[str]) -> int:
    """Run a server by its profile until SIGINT or SIGTERM, then return 0; return 1 if it fails."""
    options = _start_parser().parse_args(argv)
    start_log()
    wake = Wake()
    wake.set_on(signal.SIGINT, signal.SIGTERM)
    try:
        profile = load_profile(options.profile)
        if options.embodiment is not None:
            tag = options.embodiment_tag or profile.embodiment_tag
            robot = load_embodiment(options.embodiment)
            profile = replace(profile, embodiment_tag=tag).serving(robot)
        supervisor = Supervisor(
            profile,
            Overrides(port=options.port, **{name: getattr(options, name) for name in _TEXTS}),
            lambda severity, text: log.log(_LEVELS[severity], "%s", text),
            accept_noncommercial=options.accept_noncommercial,
        )
    except Gr00tError as error:
        log.error("%s", error)
        return 1
    supervisor.start()
    try:
        return _watch(supervisor, wake)
    finally:
        supervisor.stop()
        supervisor.join()
        wake.close()


def _watch(supervisor: Supervisor, wake: Wake) -> int:
    announced: int | None = None  # the pid for which READY was printed
    while not wake.asked:
        state = supervisor.state()
        if state.phase is Phase.FAILED:
            return 1
        if state.ready and announced != state.pid:
            announced = state.pid
            print(f"READY {server_address(state.host, state.port)}", flush=True)
        wake.wait(_LOOK_S)
    return 0


def _start_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gr00t sidecar start",
        description="Start a policy server in an environment of its own, restart it when it "
        "crashes, and end it with this command. Options win over the profile.",
        epilog="example: gr00t sidecar start n17 --model-path FOLDER --port 5555",
    )
    parser.add_argument("profile", help="name of a file in config/sidecar, or a path")
    for name, text in _TEXTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=text)
    parser.add_argument("--embodiment", metavar="NAME|FILE", help="the robot that is to be served")
    parser.add_argument("--port", type=int, help="TCP port, 0 for a free one")
    parser.add_argument(
        "--accept-noncommercial",
        action="store_true",
        help=f"declare that your use of the weights is non-commercial; else {LICENSE_VARIABLE}=1",
    )
    return parser
