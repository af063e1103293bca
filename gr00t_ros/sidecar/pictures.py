"""gr00t sidecar compress and restore: pictures as JPEG between a robot and a policy server.

Both are proxies and print one line to stdout, ``READY tcp://HOST:PORT``.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from gr00t_ros.errors import SettingsError
from gr00t_ros.proxy.pictures import COMPRESSED, DEFAULT_QUALITY, QUALITIES, Compress, Restore
from gr00t_ros.proxy.proxy import ProxySettings
from gr00t_ros.sidecar.protect import proxy_parser, proxy_settings, run_proxy
from gr00t_ros.sidecar.target import client_keys


def compress(argv: Sequence[str]) -> int:
    """Run the proxy at the robot until SIGINT or SIGTERM: DONE; MISUSE if it cannot start."""
    parser = proxy_parser(
        "compress",
        "At the robot: send pictures as JPEG to gr00t sidecar restore.",
        "--upstream gpu:5556 --listen 127.0.0.1:5555",
    )
    add = parser.add_argument
    add(
        "--quality",
        type=int,
        metavar="N",
        default=DEFAULT_QUALITY,
        help=f"of the JPEGs, {QUALITIES[0]} to {QUALITIES[1]} (%(default)s)",
    )
    add("--server-key", metavar="FILE", help="CURVE: restore's public key")
    add("--client-key", metavar="FILE", help="CURVE: this robot's secret key")
    options = parser.parse_args(argv)
    return run_proxy(lambda: _compress_settings(options))


def restore(argv: Sequence[str]) -> int:
    """Run the proxy at the server until SIGINT or SIGTERM: DONE; MISUSE if it cannot start."""
    options = proxy_parser(
        "restore",
        "At the server: restore the pictures that gr00t sidecar compress sends, and do what "
        "gr00t sidecar proxy does.",
        "--upstream 127.0.0.1:5555 --listen 0.0.0.0:5556 --keys /etc/gr00t/keys",
    ).parse_args(argv)
    return run_proxy(lambda: _restore_settings(options))


def _compress_settings(options: argparse.Namespace) -> ProxySettings:
    settings = proxy_settings(options)
    if settings.limits.batch > 1:  # a batching proxy does not forward resets
        raise SettingsError(
            f"--batch: got {settings.limits.batch}, expected none: compress serves one robot; "
            "restore and proxy make batches, at the server"
        )
    return replace(
        settings,
        pictures=Compress(options.quality),
        upstream_keys=client_keys(options.server_key, options.client_key),
    )


def _restore_settings(options: argparse.Namespace) -> ProxySettings:
    settings = proxy_settings(options)
    limits = settings.limits
    return replace(
        settings,
        limits=replace(limits, endpoints=(*limits.endpoints, COMPRESSED)),
        pictures=Restore(limits.max_request_bytes),
    )
