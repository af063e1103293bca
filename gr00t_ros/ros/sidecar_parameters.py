"""The parameters of a policy server that the node starts itself; `sidecar.mode` local."""

from __future__ import annotations

from gr00t_ros.ros.parameter_row import Row

EXISTING, LOCAL = "existing", "local"
_PROFILE_S = "; empty: the profile's"

SIDECAR: dict[str, Row] = {
    "sidecar.mode": Row(
        EXISTING,
        "existing: connect to host and port; local: start sidecar.profile on this machine",
        read_only=True,
        choices=(EXISTING, LOCAL),
    ),
    "sidecar.profile": Row(
        "n17",
        "How the server is started: name of a file in config/sidecar, or a path",
        read_only=True,
    ),
    "sidecar.model_path": Row("", f"Checkpoint{_PROFILE_S}", read_only=True),
    "sidecar.embodiment_tag": Row(
        "",
        "Embodiment tag as the server's option spells it; empty: the profile's, else the file's",
        read_only=True,
    ),
    "sidecar.device": Row("", f"Device such as cuda:0{_PROFILE_S}", read_only=True),
    "sidecar.python": Row(
        "", f"Interpreter of the server's environment{_PROFILE_S}", read_only=True
    ),
    "sidecar.working_directory": Row(
        "", f"Folder, such as a checkout of Isaac-GR00T{_PROFILE_S}", read_only=True
    ),
    "sidecar.port": Row(
        0, "TCP port of the local server; 0: the profile's, else a free one", "", 0, 65535, True
    ),
    "sidecar.accept_noncommercial": Row(
        False,
        "I use weights under a non-commercial license non-commercially; also by the environment "
        "variable GR00T_ACCEPT_NONCOMMERCIAL=1",
        read_only=True,
    ),
}
