"""Coverage-guided fuzzing, where atheris is installed: any bytes raise our errors only."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RUNS = 100_000


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("target", ["decoder", "reply", "proxy"])
def test_no_bytes_of_a_stranger_raise_anything_but_our_errors(target, tmp_path):
    """Begun from what upstream's own classes sent."""
    pytest.importorskip("atheris", reason="optional: python3 -m pip install atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for file in (HERE.parent / "golden").glob("*.bin"):
        shutil.copy(file, corpus)
    script = str(HERE.parent / "fixtures" / "fuzz_child.py")
    done = subprocess.run(
        [sys.executable, script, target, f"-runs={RUNS}", "-max_len=8192", str(corpus)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(HERE.parents[1]), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"Done {RUNS} runs" in done.stderr or "DONE" in done.stderr
