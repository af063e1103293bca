"""config/policy.yaml shows every parameter with its default."""

from pathlib import Path

import yaml

from gr00t_ros.ros.parameters import TABLE

FILE = Path(__file__).parents[2] / "config" / "policy.yaml"


def test_the_file_has_every_parameter_of_the_table_with_its_default() -> None:
    """Who copies the file changes nothing by it."""
    content = yaml.safe_load(FILE.read_text())
    values = content["/**/gr00t_policy"]["ros__parameters"]
    assert values == {name: row.default for name, row in TABLE.items()}
