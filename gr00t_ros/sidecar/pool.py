"""gr00t sidecar pool: replicas of one policy on Ray Serve, behind one address for many robots.

It prints one line to stdout, ``READY tcp://HOST:PORT``, when all replicas have loaded the policy.
"""

import argparse
import signal
from collections.abc import Sequence
from typing import Final

from gr00t_ros.command_line import DONE, MISUSE, CommandParser
from gr00t_ros.errors import Gr00tError, SettingsError
from gr00t_ros.pool.cluster import INSTALL, LOCAL, Cluster, Scaling, read_replicas
from gr00t_ros.pool.core import RANGES, PoolLimits
from gr00t_ros.pool.pool import Pool, PoolSettings
from gr00t_ros.pool.replica import Plan
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.sidecar.protect import (
    MIB,
    add_front,
    allow_connections,
    check_numbers,
    guards_of,
    place_of,
)
from gr00t_ros.sidecar.serve import log, start_log
from gr00t_ros.sidecar.target import add_embodiment
from gr00t_ros.starting import starting
from gr00t_ros.supervise.license import LICENSE_VARIABLE
from gr00t_ros.supervise.profile import Overrides, load_profile
from gr00t_ros.wire.address import listen_address
from gr00t_ros.wire.messages import Generation

NAME: Final = "gr00t_pool"
_OPTIONS: Final = {"rows": "batch"}  # limits whose option has another name
# The options of a profile that each replica may have in its own way, with metavar and help text.
_OVERRIDES: Final = {
    "model_path": ("PATH", "checkpoint, on each machine"),
    "embodiment_tag": ("TAG", "as the server's option spells it; else the embodiment's"),
    "python": ("FILE", "interpreter of the server's environment"),
    "working_directory": ("FOLDER", "such as a checkout of Isaac-GR00T, on each machine"),
}


def pool(argv: Sequence[str]) -> int:
    """Run the pool until SIGINT or SIGTERM: DONE; MISUSE if it cannot start."""
    options = _parser().parse_args(argv)
    start_log()
    allow_connections()
    try:
        with starting():
            settings, plan, scaling = _settings(options), _plan(options), _scaling(options)
            cluster = Cluster(options.ray, options.name, plan, scaling)
    except Gr00tError as error:
        log.error("%s", error)
        return MISUSE
    try:
        return _serve(settings, cluster)
    finally:
        cluster.close()


def _serve(settings: PoolSettings, cluster: Cluster) -> int:
    try:
        front = Pool(settings, cluster)
    except Gr00tError as error:
        log.error("%s", error)
        return MISUSE
    with front:
        front.stop_on(signal.SIGINT, signal.SIGTERM)
        log.info("%d replicas", cluster.replicas)
        print(f"READY {front.address}", flush=True)
        front.serve_forever()
    log.info("stopped: %s", front.core.counts)
    return DONE


def _settings(options: argparse.Namespace) -> PoolSettings:
    host, port = place_of("--listen", options.listen, 0)
    check_numbers(options, {_OPTIONS.get(name, name): both for name, both in RANGES.items()})
    token, keys = guards_of(options)
    return PoolSettings(
        listen=listen_address(host, port),
        limits=PoolLimits(
            max_request_bytes=round(options.max_request_mib * MIB),
            deadline_ms=options.deadline_ms,
            rows=options.batch,
            wait_ms=options.wait_ms,
            rate_hz=options.rate_hz,
            burst=options.burst,
        ),
        token=token,
        keys=keys,
    )


def _plan(options: argparse.Namespace) -> Plan:
    given = {name: getattr(options, name) for name in _OVERRIDES}
    if options.profile is None and any(given.values()):
        names = ", ".join(f"--{name.replace('_', '-')}" for name, value in given.items() if value)
        raise SettingsError(f"{names}: of a --profile, which is not given")
    return Plan(
        load_embodiment(options.embodiment),
        policy=options.policy or "",
        profile=None if options.profile is None else load_profile(options.profile),
        overrides=Overrides(**given),
        accept_noncommercial=options.accept_noncommercial,
        generation=Generation(options.codec),
        flat=options.flat,
        rows=options.batch,
        wait_ms=options.wait_ms,
    )


def _scaling(options: argparse.Namespace) -> Scaling:
    gpus = options.gpus
    if gpus is None:
        gpus = 0.0 if options.profile is None else 1.0
    return Scaling(*read_replicas(options.replicas), cpus=options.cpus, gpus=gpus)


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="gr00t sidecar pool",
        description=f"Serve replicas of one policy on Ray Serve to many robots. Needs {INSTALL}.",
        example="gr00t sidecar pool --ray auto --replicas 4 --profile n17 "
        "--embodiment my_robot.yaml --listen 0.0.0.0:5556 --keys /etc/gr00t/keys",
    )
    add = parser.add_argument
    limits = PoolLimits()
    add(
        "--ray",
        metavar=f"ADDRESS|{LOCAL}",
        default=LOCAL,
        help="of a Ray cluster, auto for the one that this machine is in (%(default)s)",
    )
    add("--name", default=NAME, help="of the application on the cluster (%(default)s)")
    add("--replicas", metavar="N|N-M", default="1", help="how many, or between which (%(default)s)")
    add("--cpus", type=float, metavar="N", default=1.0, help="of each replica (%(default)s)")
    add("--gpus", type=float, metavar="N", help="of each replica (1 with --profile, else 0)")
    held = parser.add_mutually_exclusive_group(required=True)
    held.add_argument(
        "--profile", metavar="PROFILE", help="each replica starts this server: as for start"
    )
    held.add_argument(
        "--policy", metavar="POLICY", help="hold, wave, scripted, or package.module:factory"
    )
    for name, (metavar, text) in _OVERRIDES.items():
        add(f"--{name.replace('_', '-')}", metavar=metavar, help=f"of the profile: {text}")
    add(
        "--accept-noncommercial",
        action="store_true",
        help=f"declare that your use of the weights is non-commercial; else {LICENSE_VARIABLE}=1",
    )
    add_embodiment(parser, by_tag=False)
    add(
        "--codec",
        choices=[item.value for item in Generation if item is not Generation.T],
        default="B3",
        help="generation of a --policy's server: as for hold (%(default)s)",
    )
    add("--flat", action="store_true", help="flat keys, as behind --use_sim_policy_wrapper")
    add_front(parser, limits.max_request_bytes, limits.rate_hz, limits.burst)
    for name, kind, metavar, default, text in (
        ("--batch", int, "N", limits.rows, "most requests in one call of the policy (%(default)s)"),
        ("--wait-ms", float, "MS", limits.wait_ms, "a batch waits so long (%(default)s ms)"),
        (
            *("--deadline-ms", int, "MS", limits.deadline_ms),
            "what cannot be answered in this time is refused (%(default)s ms)",
        ),
    ):
        add(name, type=kind, metavar=metavar, default=default, help=text)
    return parser
