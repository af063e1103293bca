"""The doctor's rows on the policy server: reached, generation, modality, latency against horizon.

Asks it what the node asks at configure, with a zero observation. Knows no topic.
"""

from __future__ import annotations

from gr00t_ros.core.embodiment import Embodiment
from gr00t_ros.core.errors import ClosedError, Gr00tError, UnreachableError
from gr00t_ros.ros.doctor_rows import FAIL, PASS, WARN, Row
from gr00t_ros.ros.parameters import Parameters
from gr00t_ros.ros.readiness import coverage
from gr00t_ros.ros.server_access import read_access
from gr00t_ros.ros.sidecar_parameters import LOCAL
from gr00t_ros.sidecar.address import shown
from gr00t_ros.sidecar.fit_text import wrong_rows
from gr00t_ros.sidecar.link import Check, Link


def server(embodiment: Embodiment, values: Parameters) -> list[Row]:
    """Connect, compare and infer twice; blocks for as long as the server's deadlines let it."""
    if values.sidecar_mode == LOCAL:
        text = "the node starts it itself, so it could not be asked; start it, then give host, port"
        return [Row(WARN, "server", values.sidecar_profile, text)]
    address = shown(values.host, values.port)
    try:
        access = read_access(values)
        link = Link(access.client(), embodiment, access.token, values.strict)
    except Gr00tError as error:
        return [Row(FAIL, "server", address, str(error))]
    try:
        check = link.check()
    except Gr00tError as error:
        different = _differences(link, values.strict)
        fatal = any(row.level == FAIL for row in different)
        text = "does not fit the embodiment: see modality" if fatal else str(error)
        if isinstance(error, UnreachableError) and not isinstance(error, ClosedError):
            text += "; start the server, or give its host and port"
        return [Row(FAIL, "server", address, " ".join(text.split())), *different]
    finally:
        link.close()
    return [*_reached(embodiment, values, check), *_differences(link, values.strict)]


def _reached(embodiment: Embodiment, values: Parameters, check: Check) -> list[Row]:
    address, found = shown(values.host, values.port), check.server
    text = f"{found.generation.label}, {found.array_codec}, {found.key_style} keys"
    covered = coverage(embodiment, values, check.inference_ns, "inference")
    level = PASS if covered.covered else FAIL
    return [Row(PASS, "server", address, text), Row(level, "latency", address, covered.text)]


def _differences(link: Link, strict: bool) -> list[Row]:
    """What of the modality config differs, key by key; a failure where it refuses a start."""
    wrong = wrong_rows(link.rows, strict)
    found = [
        Row(FAIL if row in wrong else WARN, "modality", f"{row.modality}.{row.key}", row.text)
        for row in link.rows
        if row.text
    ]
    if link.rows and not found:
        return [Row(PASS, "modality", "", f"all {len(link.rows)} keys match the embodiment")]
    return found
