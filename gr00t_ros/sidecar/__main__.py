"""gr00t sidecar: the list of its verbs. It serves policies and questions policy servers.

The first word of the command line is a verb or the policy to serve.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence

from gr00t_ros.starting import starting

# Text, not imports: a verb imports only the modules that it needs, and so starts faster.
_HERE = "gr00t_ros.sidecar"
VERBS: Mapping[str, tuple[str, str]] = {
    "ping": (f"{_HERE}.ask:ping", "which server answers: generation, codec, keys, round trip"),
    "check": (
        f"{_HERE}.ask:check",
        "whether a server fits an embodiment, key by key; nothing moves",
    ),
    "bench": (f"{_HERE}.ask:bench", "round trip and inference time, p50 and p99"),
    "infer": (f"{_HERE}.ask:infer", "one inference with an observation from a file"),
    "describe": (f"{_HERE}.ask:describe", "start an embodiment file from a live server"),
    "start": (
        f"{_HERE}.serve:start",
        "start NVIDIA's or another server by its profile, as the node does",
    ),
    "proxy": (
        f"{_HERE}.protect:proxy",
        "encryption, a token and limits for a server that has none",
    ),
    "keys": (f"{_HERE}.protect:keys", "make CURVE key files for a server and its robots"),
    "lerobot": (f"{_HERE}.serve:lerobot", "serve a GR00T N1.7 checkpoint through LeRobot"),
    "replay": (f"{_HERE}.serve:replay", "serve the actions of a recorded dataset"),
    "faulty": (f"{_HERE}.serve:faulty", "serve a policy with faults in its answers, on purpose"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status; argparse exits with 2 on wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0 if words else 2
    if words[0] in VERBS:
        return _run(VERBS[words[0]][0], words[1:], interrupted=130)
    return _run(f"{_HERE}.serve:main", words, interrupted=0)


def _run(place: str, words: Sequence[str], interrupted: int) -> int:
    module, _, verb = place.partition(":")
    with starting(interrupted):
        run = getattr(importlib.import_module(module), verb)
    return int(run(words))


def _usage() -> str:
    lines = [f"  {name:10} {text}" for name, (_, text) in VERBS.items()]
    return "\n".join(
        [
            "usage: gr00t sidecar VERB|POLICY [OPTIONS]; -h behind it lists its options\n",
            "Serve a policy in place of a GR00T server, start NVIDIA's, or ask one that runs.\n",
            "  POLICY     serve it: hold, wave (moves every joint gently), scripted (for simulated",
            "             robots), or package.module:factory",
            *lines,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
