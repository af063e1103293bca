"""What other programs know of the policy node: names, types, answers, when it is silent."""

from __future__ import annotations

from typing import Final

POLICY_NAME: Final = "gr00t_policy"
POLICY_NODE: Final = f"/{POLICY_NAME}"
"""Its full name, unless a launch file gives it another."""
STATUS_TYPE: Final = "gr00t_ros/msg/PolicyStatus"
CHUNK_TYPE: Final = "gr00t_ros/msg/ActionChunk"
DROPPED: Final = "dropped: "
"""How the reason of a chunk begins that came at a wrong time. The others were refused."""
NOT_CONFIGURED: Final = "not configured"
"""What ~/pause, ~/resume and ~/reset answer where there is nothing that could move."""
STATUS_SILENT_S: Final = 2.0
"""A configured node publishes its status twice a second; four missing ones mean that it stands."""
