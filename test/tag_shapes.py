"""What a server of each public embodiment tag expects and answers, written from GR00T's sources.

Independent of our files: embodiments.md of this project, which names its sources (Isaac-GR00T N1.6
7786639 and N1.7 23ace64, processor_config.json of GR00T-N1.7-3B). A checkpoint of one's own
(new_embodiment) has the shapes of GR00T's SO100 example, or of this package's invented arm.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from gr00t_ros.core.modality import ModalityConfig, ModalityEntry

ABS, REL = ("ABSOLUTE", "NON_EEF"), ("RELATIVE", "NON_EEF")
EEF = ("RELATIVE", "EEF")
SILENT = ("", "")
"""No word on representation: none is in the sources, or the checkpoint alone has it."""


@dataclass(frozen=True)
class TagShapes:
    """Keys in the server's order; `state` key -> width, `action` key -> (width, rep and type).

    `deltas`: action keys whose values are the motion of a step, whatever the server says of them.
    """

    video: tuple[str, ...]
    state: Mapping[str, int]
    action: Mapping[str, tuple[int, tuple[str, str]]]
    horizon: int
    language: str
    history: tuple[int, ...] = (0,)
    deltas: tuple[str, ...] = ()

    def modality(self) -> ModalityConfig:
        """As the server announces it."""
        configs = tuple(
            {"rep": rep, "type": kind, "format": "DEFAULT", "state_key": None} if rep else None
            for _, (rep, kind) in self.action.values()
        )
        return {
            "video": ModalityEntry(self.history, self.video),
            "state": ModalityEntry((0,), tuple(self.state)),
            "action": ModalityEntry(
                tuple(range(self.horizon)),
                tuple(self.action),
                configs if all(configs) else None,
            ),
            "language": ModalityEntry((0,), (self.language,)),
        }


_DROID_VIDEO = ("exterior_image_1_left", "wrist_image_left")
_DROID_LANGUAGE = "annotation.language.language_instruction"
_TASK = "annotation.human.task_description"
_G1_ACTION = {
    "left_arm": (7, REL),
    "right_arm": (7, REL),
    "left_hand": (7, ABS),
    "right_hand": (7, ABS),
    "waist": (3, ABS),
    "base_height_command": (1, ABS),
    "navigate_command": (3, ABS),
}
_G1_STATE = {
    "left_leg": 6,
    "right_leg": 6,
    "waist": 3,
    "left_arm": 7,
    "right_arm": 7,
    "left_hand": 7,
    "right_hand": 7,
}
_ACTION_TASK = "annotation.human.action.task_description"
_XYZ, _RPY = {"x": 1, "y": 1, "z": 1}, {"roll": 1, "pitch": 1, "yaw": 1}
_SIX = (*_XYZ, *_RPY)
_DELTAS = {key: (1, SILENT) for key in (*_SIX, "gripper")}
_GR1 = {"left_arm": 7, "right_arm": 7, "left_hand": 6, "right_hand": 6, "waist": 3}

TAGS: dict[str, TagShapes] = {
    "oxe_droid_relative_eef_relative_joint": TagShapes(
        _DROID_VIDEO,
        {"eef_9d": 9, "gripper_position": 1, "joint_position": 7},
        {"eef_9d": (9, EEF), "gripper_position": (1, ABS), "joint_position": (7, REL)},
        40,
        _DROID_LANGUAGE,
        (-15, 0),
    ),
    "oxe_droid": TagShapes(
        _DROID_VIDEO,
        {"joint_position": 7, "gripper_position": 1},
        {"joint_position": (7, REL), "gripper_position": (1, ABS)},
        32,
        _DROID_LANGUAGE,
    ),
    "unitree_g1_full_body_with_waist_height_nav_cmd": TagShapes(
        ("ego_view",), _G1_STATE, _G1_ACTION, 50, _TASK
    ),
    "unitree_g1": TagShapes(("ego_view",), _G1_STATE, _G1_ACTION, 30, _TASK),
    "real_g1_relative_eef_relative_joints": TagShapes(
        ("ego_view",),
        {
            "left_wrist_eef_9d": 9,
            "right_wrist_eef_9d": 9,
            "left_hand": 7,
            "right_hand": 7,
            "left_arm": 7,
            "right_arm": 7,
            "waist": 3,
        },
        {
            "left_wrist_eef_9d": (9, EEF),
            "right_wrist_eef_9d": (9, EEF),
            "left_hand": (7, ABS),
            "right_hand": (7, ABS),
            "left_arm": (7, REL),
            "right_arm": (7, REL),
            "waist": (3, ABS),
            "base_height_command": (1, ABS),
            "navigate_command": (3, ABS),
        },
        40,
        _TASK,
        (-20, 0),
    ),
    "gr1": TagShapes(
        ("ego_view_bg_crop_pad_res256_freq20",),
        _GR1,
        {key: (width, SILENT) for key, width in _GR1.items()},
        16,
        "annotation.human.coarse_action",
    ),
    "libero_sim": TagShapes(
        ("image", "wrist_image"),
        {**_XYZ, **_RPY, "gripper": 2},
        _DELTAS,
        16,
        _ACTION_TASK,
        deltas=_SIX,
    ),
    "simpler_env_widowx": TagShapes(
        ("image_0",),
        {**_XYZ, **_RPY, "pad": 1, "gripper": 1},
        _DELTAS,
        8,
        _ACTION_TASK,
        deltas=_SIX,
    ),
    "simpler_env_google": TagShapes(
        ("image",),
        {**_XYZ, "rx": 1, "ry": 1, "rz": 1, "rw": 1, "gripper": 1},
        _DELTAS,
        8,
        _ACTION_TASK,
        deltas=_SIX,
    ),
}
_SO_ARM = TagShapes(
    ("front", "wrist"),
    {"single_arm": 5, "gripper": 1},
    {"single_arm": (5, REL), "gripper": (1, ABS)},
    16,
    _TASK,
)
NEW_EMBODIMENTS: dict[str, TagShapes] = {
    "so100": _SO_ARM,
    "so101": _SO_ARM,
    "desk6": TagShapes(("front",), {"arm": 6}, {"arm": (6, ABS)}, 32, _TASK),
}


N15: dict[str, TagShapes] = {
    # Data config fourier_gr1_arms_waist of N1.5 4af2b62; it announces no representation.
    "gr1_n15": TagShapes(
        ("ego_view",),
        _GR1,
        {key: (width, SILENT) for key, width in _GR1.items()},
        16,
        "annotation.human.coarse_action",
    ),
}


def shapes_of(robot: str, tag: str) -> TagShapes:
    """The shapes that a server of `tag` has; of new_embodiment those of the robot's example."""
    if robot in N15:
        return N15[robot]
    return NEW_EMBODIMENTS[robot] if tag == "new_embodiment" else TAGS[tag]
