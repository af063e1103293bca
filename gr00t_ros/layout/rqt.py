"""The rqt perspective: pictures, stream ages, status, diagnostics and service callers."""

from __future__ import annotations

import json
from typing import Any

from gr00t_ros.layout.view import BUTTONS, INSTRUCTION, STATUS, View

_IMAGE, _PLOT = "rqt_image_view/ImageView", "rqt_plot/Plot"
_TOPICS, _CALLER = "rqt_topic/TopicViewer", "rqt_service_caller/ServiceCaller"
_MONITOR = "rqt_robot_monitor/RobotMonitor"


def text(view: View) -> str:
    """The content of rqt.perspective."""
    status = view.topic(STATUS)
    ages = [
        f"{status}/streams[{number}]/{field}"
        for number in range(len(view.streams))
        for field in ("age_s", "max_age_s")
    ]
    services = [view.topic(f"~/{name}") for name in (*BUTTONS, INSTRUCTION)]
    running: dict[str, list[dict[str, Any]]] = {
        _IMAGE: [{"topic": topic} for topic in view.cameras.values()],
        _PLOT: [{"autoscroll": True, "topics": ages}],
        _CALLER: [{"current_service_name": service} for service in services],
        _TOPICS: [{}],
        _MONITOR: [{}],
    }
    plugins = {name: list(range(1, len(rows) + 1)) for name, rows in running.items() if rows}
    groups = {
        f"plugin__{name.replace('/', '__')}__{number}": {
            "keys": {},
            "groups": {"plugin": {"keys": _keys(row), "groups": {}}},
        }
        for name, rows in running.items()
        for number, row in enumerate(rows, 1)
    }
    manager = {"keys": _keys({"running-plugins": plugins}), "groups": groups}
    main: dict[str, dict[str, Any]] = {"keys": {}, "groups": {}}
    content = {"keys": {}, "groups": {"mainwindow": main, "pluginmanager": manager}}
    return json.dumps(content, indent=2) + "\n"


def _keys(values: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Settings as rqt exports them: the text that Python's repr gives."""
    return {name: {"type": "repr", "repr": repr(value)} for name, value in values.items()}
