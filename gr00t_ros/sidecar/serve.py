"""gr00t sidecar hold, wave, scripted, faulty, lerobot, replay and start: runs a policy server.

start runs a server described by a profile; the others serve a policy in this process. Each prints
one line to stdout, ``READY tcp://HOST:PORT``, when clients can connect; all else goes to stderr.
"""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final

from gr00t_ros.command_line import DONE, MISUSE, CommandParser, whole_number
from gr00t_ros.dataset.lerobot import LeRobotDataset
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.robot.embodiment import Embodiment
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.serve.endpoints import Answers
from gr00t_ros.serve.faulty import FAULTS, FORM, Faulty, read_fault
from gr00t_ros.serve.front import Wake, keep_freed
from gr00t_ros.serve.inpaint import Inpainting
from gr00t_ros.serve.lerobot_policy import INSTALL, LerobotPolicy
from gr00t_ros.serve.policies import POLICIES, Policy, make_policy, state_widths
from gr00t_ros.serve.replay_policy import ReplayPolicy
from gr00t_ros.serve.robots import Robots
from gr00t_ros.serve.server import Delay, PolicyServer
from gr00t_ros.sidecar.target import add_embodiment
from gr00t_ros.starting import starting
from gr00t_ros.supervise.license import LICENSE_VARIABLE
from gr00t_ros.supervise.profile import Overrides, load_profile
from gr00t_ros.supervise.supervisor import Phase, Severity, Supervisor
from gr00t_ros.wire.access import ENVIRONMENT_VARIABLE, read_token
from gr00t_ros.wire.address import LOOPBACK, listen_address, server_address
from gr00t_ros.wire.curve import read_server_keys
from gr00t_ros.wire.messages import Generation

CRASH_STATUS: Final = 70

_LOOK_S: Final = 0.1
_PORT: Final = whole_number(0, 65_535)  # ZeroMQ would use a larger one modulo 65536
_LEVELS: Final[dict[Severity, int]] = {
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# The options of `start` that replace a profile's value, with metavar and help text.
_TEXTS: Final = {
    "model_path": ("PATH", "checkpoint"),
    "embodiment_tag": ("TAG", "as the server's option spells it; else the embodiment's"),
    "device": ("DEVICE", "such as cuda:0"),
    "python": ("FILE", "interpreter of the server's environment"),
    "working_directory": ("FOLDER", "such as a checkout of Isaac-GR00T"),
    "host": ("HOST", "address to serve on"),
}

_SERVES: Final = (
    "this command is the server, and --host and --port are where it listens; "
    "gr00t sidecar check --server HOST:PORT questions one"
)

log = logging.getLogger("gr00t_ros.sidecar")


def hold(argv: Sequence[str]) -> int:
    """Serve the hold policy; see `serve` for the exit status."""
    return _serve_policy("hold", "Serve a policy that stays where the robot is.", argv)


def wave(argv: Sequence[str]) -> int:
    """Serve the wave policy; see `serve` for the exit status."""
    return _serve_policy("wave", "Serve a policy that moves every joint gently.", argv)


def scripted(argv: Sequence[str]) -> int:
    """Serve the policy of a simulated robot; see `serve` for the exit status."""
    description = "Serve the policy that sees and does the task of a simulated robot."
    return _serve_policy("scripted", description, argv, "desk6")


def own_policy(argv: Sequence[str]) -> int:
    """Serve the policy ``package.module:factory``, the first word; see `serve`."""
    return _serve_policy(argv[0], "Serve a policy of your own: docs/sidecar.md.", argv[1:])


def _serve_policy(
    name: str, description: str, argv: Sequence[str], robot: str = "my_robot.yaml"
) -> int:
    """`robot`: the embodiment in the example."""
    called = f"gr00t sidecar {name}"
    parser = CommandParser(
        prog=called, description=description, example=f"{called} --embodiment {robot} --port 5555"
    )
    add_options(parser)
    options = parser.parse_args(argv)
    return serve(options, lambda embodiment: _policy(name, embodiment))


def _policy(name: str, embodiment: Embodiment) -> Policy:
    """The policy of that name; a user's own gets all options as they are.

    Ours answer the options of RTC, and keep an episode for each robot. A user's may have weights,
    which are not to be loaded once a robot.
    """
    if name not in POLICIES:
        return make_policy(name, embodiment)
    return Robots(lambda: Inpainting(make_policy(name, embodiment)))


def serve(
    options: argparse.Namespace,
    policy_of: Callable[[Embodiment], Policy],
    around: Callable[[Answers], Answers] | None = None,
) -> int:
    """Serve until SIGINT, SIGTERM or an allowed kill: DONE; MISUSE if it cannot start.

    options: those of `add_options`. around: wraps the endpoints, as faulty.Faulty does.
    """
    start_log()
    try:
        with starting():
            server = _server(options, policy_of, around)
    except Gr00tError as error:
        log.error("%s", error)
        return MISUSE
    keep_freed()
    with server:
        server.stop_on(signal.SIGINT, signal.SIGTERM)
        print(f"READY {server.address}", flush=True)
        server.serve_forever()
    log.info("stopped: %s", server.counts)
    return DONE


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
        delay=Delay(options.delay_ms, options.jitter_ms, options.row_ms),
        seed=options.seed,
        around=around,
        keys=read_server_keys(options.keys) if options.keys else None,
    )
    if token is None and not options.keys and options.host not in LOOPBACK:
        log.warning("no token and no keys, and other machines can reach %s", server.address)
    return server


def add_options(parser: CommandParser) -> None:
    """Add the options of every verb that serves a policy."""
    add = parser.add_argument
    add_embodiment(parser, by_tag=False)
    add("--host", default="127.0.0.1", help="address to serve on, * for all (%(default)s)")
    add("--port", type=_PORT, default=5555, help="TCP port, 0 for a free one (%(default)s)")
    parser.instead["--server"] = _SERVES
    add(
        "--codec",
        choices=[item.value for item in Generation],
        default="B3",
        help="generation: A0 N1.5, A1 N1.6, A2 N1.7 EA, B2 and B3 N1.7, T torch (%(default)s)",
    )
    add("--flat", action="store_true", help="flat keys, as behind --use_sim_policy_wrapper")
    add(
        "--token-file",
        metavar="FILE",
        help=f"file with the API token; else {ENVIRONMENT_VARIABLE} where set",
    )
    add("--keys", metavar="FOLDER", help="use CURVE; admit the clients whose public keys are there")
    add("--no-strict", action="store_true", help="omit upstream's checks of observations")
    add("--allow-kill", action="store_true", help="let any client end this server, as upstream's")
    for name, text in (
        ("--delay-ms", "artificial inference time"),
        ("--jitter-ms", "its uniform spread, +-"),
        ("--row-ms", "its increase for each further row of a batch"),
    ):
        add(name, type=float, metavar="MS", default=0.0, help=f"{text} (%(default)s ms)")
    add("--seed", type=int, metavar="N", help="of all random numbers")


def faulty(argv: Sequence[str]) -> int:
    """Serve with faults; as `serve`, or CRASH_STATUS after a crash on purpose."""
    parser = _faulty_parser()
    options = parser.parse_args(argv)
    try:
        faults = [read_fault(text) for text in options.fault]
    except SettingsError as error:
        parser.error(f"--fault: {error}")
    codec = Generation(options.codec).array_codec

    def around(inner: Answers) -> Answers:
        return Faulty(inner, faults, codec, lambda: os._exit(CRASH_STATUS), options.seed)

    return serve(options, lambda embodiment: _policy(options.policy, embodiment), around)


def _faulty_parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t sidecar faulty",
        description="Serve a policy that fails on purpose.",
        notes="kinds:\n" + "\n".join(f"  {kind:8} {text}" for kind, text in FAULTS.items()),
        example="gr00t sidecar faulty --policy hold --fault nan:3 --embodiment my_robot.yaml",
    )
    parser.add_argument(
        "--policy", metavar="POLICY", default="hold", help="the policy to serve (%(default)s)"
    )
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
    parser = CommandParser(
        prog="gr00t sidecar lerobot",
        description=f"Serve a GR00T N1.7 checkpoint through LeRobot. Needs {INSTALL}.",
        example="gr00t sidecar lerobot --checkpoint FOLDER --embodiment my_robot.yaml",
    )
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FOLDER", help="a checkpoint in NVIDIA's layout")
    parser.missing["--checkpoint"] = "the folder with config.json and processor_config.json"
    add("--tag", metavar="TAG", help="embodiment tag of the checkpoint; else the file's")
    add("--device", metavar="DEVICE", default="cuda", help="of torch (%(default)s)")
    add("--backbone", metavar="FOLDER", help="the backbone's tokenizer; else from the hub")
    add_options(parser)
    options = parser.parse_args(argv)

    def policy(embodiment: Embodiment) -> LerobotPolicy:
        _refuse_missing("--checkpoint", options.checkpoint, "config.json")
        tag = options.tag or embodiment.tag
        return LerobotPolicy(Path(options.checkpoint), tag, options.device, options.backbone)

    return serve(options, policy)


def replay(argv: Sequence[str]) -> int:
    """Serve the actions of a dataset; see `serve` for the exit status."""
    parser = CommandParser(
        prog="gr00t sidecar replay",
        description="Serve a dataset's actions; reset with episode_index and step_index.",
        example="gr00t sidecar replay --dataset FOLDER --embodiment my_robot.yaml",
    )
    parser.add_argument(
        "--dataset", required=True, metavar="FOLDER", help="LeRobot v2, v2.1 or v3, GR00T's flavour"
    )
    parser.missing["--dataset"] = "the folder that has meta/info.json and meta/modality.json"
    parser.add_argument(
        "--execution-horizon",
        type=int,
        metavar="N",
        default=8,
        help="steps that a client executes of each chunk (%(default)s)",
    )
    add_options(parser)
    options = parser.parse_args(argv)

    def policy(embodiment: Embodiment) -> Robots:
        _refuse_missing("--dataset", options.dataset, "meta/info.json")
        dataset = LeRobotDataset(options.dataset)
        return Robots(lambda: ReplayPolicy(dataset, embodiment, options.execution_horizon))

    return serve(options, policy)


def _refuse_missing(option: str, folder: str, file: str) -> None:
    """Raise SettingsError unless `folder` is one; `file` is what it must have."""
    if not Path(folder).is_dir():
        raise SettingsError(f"{option} {folder}: no such folder, expected one that has {file}")


def start(argv: Sequence[str]) -> int:
    """Run a server by its profile until SIGINT or SIGTERM: DONE; MISUSE if it cannot run."""
    options = _start_parser().parse_args(argv)
    start_log()
    with closing(Wake()) as wake:
        wake.set_on(signal.SIGINT, signal.SIGTERM)
        try:
            supervisor = _supervisor(options)
        except Gr00tError as error:
            log.error("%s", error)
            return MISUSE
        supervisor.start()
        try:
            return _watch(supervisor, wake)
        finally:
            supervisor.stop()
            supervisor.join()


def _supervisor(options: argparse.Namespace) -> Supervisor:
    profile = load_profile(options.profile)
    if options.embodiment is not None:
        tag = options.embodiment_tag or profile.embodiment_tag
        robot = load_embodiment(options.embodiment)
        profile = replace(profile, embodiment_tag=tag).serving(robot)
    return Supervisor(
        profile,
        Overrides(port=options.port, **{name: getattr(options, name) for name in _TEXTS}),
        lambda severity, text: log.log(_LEVELS[severity], "%s", text),
        accept_noncommercial=options.accept_noncommercial,
    )


def _watch(supervisor: Supervisor, wake: Wake) -> int:
    announced: int | None = None  # the pid for which READY was printed
    while not wake.asked:
        state = supervisor.state()
        if state.phase is Phase.FAILED:
            return MISUSE
        if state.ready and announced != state.pid:
            announced = state.pid
            print(f"READY {server_address(state.host, state.port)}", flush=True)
        wake.wait(_LOOK_S)
    return DONE


def _start_parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t sidecar start",
        description="Start a policy server in an environment of its own, restart it when it "
        "crashes, and end it with this command. Options win over the profile.",
        example="gr00t sidecar start n17 --embodiment my_robot.yaml --model-path FOLDER",
    )
    parser.instead["--server"] = _SERVES
    parser.add_argument(
        "profile", metavar="PROFILE", help="name of a file in config/sidecar, or a path"
    )
    for name, (metavar, text) in _TEXTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar=metavar, help=text)
    parser.add_argument("--embodiment", metavar="NAME|FILE", help="the robot that is to be served")
    parser.add_argument("--port", type=_PORT, help="TCP port, 0 for a free one")
    parser.add_argument(
        "--accept-noncommercial",
        action="store_true",
        help=f"declare that your use of the weights is non-commercial; else {LICENSE_VARIABLE}=1",
    )
    return parser
