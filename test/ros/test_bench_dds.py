"""./dev bench dds in short: it runs, and counts what was sent and what arrived."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = """
import json
from bench import dds
report = dds.run(0.5, ((24, 32), dds.SIZES_PX[0]), ("64 MB",))
print(json.dumps([report.figures["rows"], [t.name for t in report.targets], report.lines]))
"""


def test_a_short_slice_of_every_kind_is_measured():
    """With and without a stopped reader beside; the goals are those of 480x640."""
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    rows, goals, lines = json.loads(done.stdout.splitlines()[-1])
    assert [row["reliability"] for row in rows] == ["best effort", "reliable", "reliable"] * 2
    assert all(row["sent_hz"] >= row["arrived_hz"] > 0 for row in rows)
    assert len(goals) == 2 and goals[1].startswith(goals[0].partition(":")[0] + ", beside")
    assert len(lines) == 4 + len(rows)
