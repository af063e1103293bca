"""The RViz 2 config: the robot, the preview's markers and paths, the pictures as they are sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from gr00t_ros.layout.view import MARKERS, View

_COLOURS = {"predicted": "26; 89; 255", "committed": "0; 166; 38", "driven": "255; 255; 255"}


def text(view: View) -> str:
    """The content of rviz.rviz."""
    described: dict[str, Any] = {
        "Description Source": "Topic",
        "Description Topic": _topic("/robot_description", latched=True),
    }
    displays = [
        _display("Grid", "Grid"),
        _display("RobotModel", view.robot, more=described),
        _display("TF", "Frames", enabled=False),
        _display(
            "MarkerArray", "Preview", more={"Topic": _topic(view.topic(MARKERS)), "Namespaces": {}}
        ),
        # The markers show the same; the paths have a stamp for each pose.
        *(
            _display(
                "Path",
                topic.removeprefix(view.topic("~/preview/")),
                enabled=False,
                more={"Topic": _topic(topic), "Color": _COLOURS[kind]},
            )
            for topic, kind in view.paths().items()
        ),
        # RViz takes the base name of an image's topic and the transport from its ending.
        *(
            _display("Image", camera, more={"Topic": _topic(topic)})
            for camera, topic in view.cameras.items()
        ),
    ]
    panels = [{"Class": "rviz_common/Displays", "Name": "Displays"}]
    content = {
        "Panels": panels,
        "Visualization Manager": {
            "Class": "",
            "Displays": displays,
            "Enabled": True,
            "Global Options": {"Fixed Frame": view.frame, "Frame Rate": 30},
            "Name": "root",
            "Tools": [{"Class": "rviz_default_plugins/MoveCamera"}],
            "Views": {
                "Current": {
                    "Class": "rviz_default_plugins/Orbit",
                    "Name": "Current View",
                    "Distance": 2.5,
                    "Pitch": 0.5,
                    "Yaw": 0.8,
                    "Target Frame": view.frame,
                },
                "Saved": None,
            },
        },
    }
    return yaml.safe_dump(content, sort_keys=False)


def _display(
    kind: str, name: str, *, enabled: bool = True, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    named = {"Class": f"rviz_default_plugins/{kind}", "Name": name}
    return {**named, "Enabled": enabled, **(more or {}), "Value": enabled}


def _topic(name: str, *, latched: bool = False) -> dict[str, Any]:
    return {
        "Value": name,
        "Depth": 1,
        "Durability Policy": "Transient Local" if latched else "Volatile",
        "History Policy": "Keep Last",
        "Reliability Policy": "Reliable",
    }
