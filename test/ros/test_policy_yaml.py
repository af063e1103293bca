"""config/policy.yaml shows every parameter with its default."""

from pathlib import Path

import pytest
import yaml

from gr00t_ros.motion.replay_settings import Coverage, ReplaySettings
from gr00t_ros.robot.files import load_embodiment
from gr00t_ros.ros.parameters import PARAMETERS
from gr00t_ros.tools.documents import parameter_document

ROOT = Path(__file__).parents[2]
SHORT = {"simpler_google": 4, "simpler_widowx": 4}
"""Files whose chunks are too short for the default execute_steps, and what README says."""
FILE = Path(__file__).parents[2] / "config" / "policy.yaml"


def test_the_file_has_every_parameter_of_the_table_with_its_default() -> None:
    """Who copies the file changes nothing by it."""
    content = yaml.safe_load(FILE.read_text())
    values = content["/**/gr00t_policy"]["ros__parameters"]
    assert values == {name: row.default for name, row in PARAMETERS.items()}
    assert FILE.read_text() == parameter_document(), "regenerate it: see the file's first lines"


@pytest.mark.parametrize("path", sorted((ROOT / "config/embodiments").glob("*.yaml")), ids=str)
def test_every_shipped_file_starts_with_the_default_or_says_with_what(path) -> None:
    """README, the file and the refusal name the value, with half a second left for the latency."""
    robot, default = load_embodiment(str(path)), PARAMETERS["execute_steps"].default
    steps = SHORT.get(path.stem, default)
    one = Coverage(ReplaySettings(), robot.action_horizon, robot.step_ns, default, 0, "latency")
    assert one.covered is (path.stem not in SHORT)
    if path.stem in SHORT:
        chosen = Coverage(one.settings, one.horizon_steps, one.step_ns, steps, 500_000_000, "some")
        assert chosen.covered and f"better to {steps}, which" in one.text
        assert f"execute_steps:={steps}" in path.read_text().partition("\nrobot:")[0]
        readme = (ROOT / "README.md").read_text()
        assert f"`{path.stem}`" in readme and f"`execute_steps:={steps}`" in readme
