"""The Foxglove layout: one JSON file as the app exports and imports it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gr00t_ros.layout.view import BUTTONS, INSTRUCTION, JOINTS, MARKERS, STAGES, STATUS, View

_COLOURS = {"estop": "#d32f2f", "pause": "#ef6c00", "resume": "#2e7d32", "reset": "#1565c0"}
_TITLES = {
    "estop": "E-STOP (functional stop)",
    "pause": "Pause",
    "resume": "Resume",
    "reset": "Reset",
}
_Mosaic = str | dict[str, Any]


def text(view: View) -> str:
    """The content of foxglove.json."""
    panels: dict[str, dict[str, Any]] = {}

    def add(kind: str, name: str, **config: Any) -> str:
        panels[f"{kind}!{name}"] = config
        return f"{kind}!{name}"

    cameras = [
        add("Image", f"camera{number}", imageMode={"imageTopic": topic}, foxglovePanelTitle=camera)
        for number, (camera, topic) in enumerate(view.cameras.items())
    ]
    scene = add("3D", "preview", **_scene(view))
    buttons = [add("CallService", name, **_button(view, name)) for name in BUTTONS]
    buttons.append(add("CallService", "instruction", **_instruction(view)))
    status = view.topic(STATUS)
    mode = add(
        "StateTransitions",
        "mode",
        paths=[_path(f"{status}.{field}", field) for field in ("mode", "reason", "instruction")],
        isSynced=True,
        foxglovePanelTitle="Mode and reason",
    )
    ages = add("Plot", "ages", **_plot("Stream ages and limits (s)", _ages(view)))
    latency = add("Plot", "latency", **_plot("Latency by stage, median (s)", _latencies(view)))
    joints = add("Plot", "joints", **_plot("Joints: predicted, commanded, measured", _joints(view)))
    table = add("Table", "streams", topicPath=f"{status}.streams[:]", foxglovePanelTitle="Streams")
    stages = add(
        "Table", "stages", topicPath=f"{status}.latencies[:]", foxglovePanelTitle="Latency by stage"
    )
    details = add(
        "RawMessages", "status", topicPath=status, diffEnabled=False, foxglovePanelTitle="Status"
    )
    diagnostics = add("DiagnosticSummary", "diagnostics", topicToRender="/diagnostics", minLevel=0)
    left = _split("column", [*cameras, scene])
    middle = _split("column", [mode, ages, latency, joints])
    right = _split("column", [*buttons, table, stages, details, diagnostics])
    content = {
        "configById": panels,
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": _split("row", [left, middle, right]),
    }
    return json.dumps(content, indent=2) + "\n"


def _split(direction: str, parts: Sequence[_Mosaic]) -> _Mosaic:
    """Parts of one size beside or below each other, as the pairs of pairs of a mosaic."""
    if len(parts) == 1:
        return parts[0]
    return {
        "direction": direction,
        "first": parts[0],
        "second": _split(direction, parts[1:]),
        "splitPercentage": round(100 / len(parts), 2),
    }


def _scene(view: View) -> dict[str, Any]:
    topics = [view.topic(MARKERS), *view.paths()]
    return {
        "foxglovePanelTitle": "What the arm is about to do",
        "followMode": "follow-none",
        "followTf": view.frame,
        "topics": {topic: {"visible": True} for topic in topics},
        "layers": {
            "grid": {"layerId": "foxglove.Grid", "visible": True, "frameId": view.frame},
            "robot": {
                "layerId": "foxglove.Urdf",
                "label": view.robot,
                "sourceType": "topic",
                "topic": "/robot_description",
                "visible": True,
            },
        },
    }


def _button(view: View, name: str) -> dict[str, Any]:
    return {
        "serviceName": view.topic(f"~/{name}"),
        "requestPayload": "{}",
        "buttonText": _TITLES[name],
        "buttonColor": _COLOURS[name],
        "foxglovePanelTitle": _TITLES[name],
        "editingMode": False,  # its default, True, shows the request beside the button
    }


def _instruction(view: View) -> dict[str, Any]:
    return {
        "serviceName": view.topic(f"~/{INSTRUCTION}"),
        "requestPayload": json.dumps({"instruction": ""}),
        "buttonText": "Set instruction",
        "foxglovePanelTitle": "Instruction",
        "editingMode": True,
    }


def _plot(title: str, paths: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "foxglovePanelTitle": title,
        "paths": paths,
        "showLegend": True,
        "isSynced": True,
        "xAxisVal": "timestamp",
        "followingViewWidth": 30,
    }


def _path(value: str, label: str) -> dict[str, Any]:
    return {"value": value, "enabled": True, "timestampMethod": "receiveTime", "label": label}


def _ages(view: View) -> list[dict[str, Any]]:
    status = view.topic(STATUS)
    return [
        _path(f'{status}.streams[:]{{name=="{name}"}}.{field}', f"{name} {label}")
        for name in view.streams
        for field, label in (("age_s", "age"), ("max_age_s", "limit"))
    ]


def _latencies(view: View) -> list[dict[str, Any]]:
    status = view.topic(STATUS)
    return [_path(f'{status}.latencies[:]{{stage=="{stage}"}}.p50_s', stage) for stage in STAGES]


def _joints(view: View) -> list[dict[str, Any]]:
    topic = view.topic(JOINTS)
    return [
        _path(f"{topic}.{field}[{number}]", f"{joint} {field}")
        for number, joint in enumerate(view.joints)
        for field in ("predicted", "commanded", "measured")
    ]
