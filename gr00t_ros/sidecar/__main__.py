"""gr00t-sidecar: servers that speak GR00T's wire, and questions to servers of any make.

Owns nothing but the list of verbs: the first word is one of them, or the policy to serve.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence

from gr00t_ros.sidecar.starting import starting

# Text, not imports: a question needs no server's modules, and each verb starts the faster.
_CLI = "gr00t_ros.sidecar.cli"
VERBS: Mapping[str, tuple[str, str]] = {
    "ping": (f"{_CLI}.ping", "what answers there: generation, codec, keys, round trip"),
    "check": (f"{_CLI}.check", "whether a server fits an embodiment, key by key; nothing moves"),
    "bench": (f"{_CLI}.bench", "round trip and inference time, p50 and p99"),
    "infer": (f"{_CLI}.infer", "one inference with an observation from a file"),
    "describe": (f"{_CLI}.describe", "start an embodiment file from a live server"),
    "start": (f"{_CLI}.start", "start NVIDIA's or another server by its profile, as the node does"),
    "proxy": (f"{_CLI}.proxy", "encryption, a token and limits before a server that has none"),
    "keys": (f"{_CLI}.keys", "make CURVE key files for a server and its robots"),
    "lerobot": (f"{_CLI}.lerobot", "serve a GR00T N1.7 checkpoint through LeRobot"),
    "replay": (f"{_CLI}.replay", "serve the actions of a recorded dataset"),
    "faulty": (f"{_CLI}.faulty", "serve a policy whose answers fail as they are told to"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status; argparse exits 2 on wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(_usage())
        return 0 if words else 2
    if words[0] in VERBS:
        return _run(VERBS[words[0]][0], words[1:], interrupted=130)
    return _run(f"{_CLI}.serve", words, interrupted=0)


def _run(module: str, words: Sequence[str], interrupted: int) -> int:
    with starting(interrupted):
        verb = importlib.import_module(module)
    return int(verb.main(words))


def _usage() -> str:
    lines = [f"  {name:10} {text}" for name, (_, text) in VERBS.items()]
    return "\n".join(
        [
            "usage: gr00t-sidecar VERB|POLICY [OPTIONS]; -h behind it lists its options\n",
            "  POLICY     serve it: hold, scripted, or package.module:factory",
            *lines,
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
