"""Draws the pictures of docs/loop.md: python3 -m examples.loop.pictures LOOP_FOLDER."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
FILM = 7
"""Pictures of each camera in the filmstrip."""
_IMAGE = re.compile(r'alt="(\w+) at ([\d.]+) s" src="data:image/jpeg;base64,([^"]+)"')


def curves(results: Mapping[str, Path], path: Path) -> None:
    """Draw the training curves of several results, by label."""
    figure = Figure(figsize=(7.5, 3.0), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True)
    for label, folder in results.items():
        lines = [json.loads(line) for line in (folder / "training/curve.jsonl").open()]
        minutes = [line["minutes"] for line in lines]
        for one, key in zip(axes, ("arm_rad", "goal_rad"), strict=True):
            one.plot(minutes, [line[key] for line in lines], label=label)
    for one, title in zip(axes, ("arm, whole chunk", "place of the next grip"), strict=True):
        one.set(title=title, xlabel="training, min", ylabel="mean error, rad", yscale="log")
        one.grid(which="both", alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)


def strands(results: Path, path: Path, joints: Sequence[int] = (0, 3)) -> None:
    """Draw an open-loop episode: what was recorded, and each predicted chunk."""
    found = json.loads((results / "open_loop/results.json").read_text())
    arrays = np.load(results / "open_loop/arrays.npz")
    number = found["summary"]["worst_first"][-1]
    name = next(key.partition("/")[0] for key in arrays.files if int(key[:6]) == number)
    rows, chunks = arrays[f"{name}/rows"], arrays[f"{name}/chunks"]
    recorded = arrays[f"{name}/recorded"]
    names = [one["name"] for one in found["episodes"][0]["components"]]
    arm = [at for at, one in enumerate(names) if "joint" in one and "knuckle" not in one]
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    panels = figure.subplots(len(joints), 1, sharex=True)
    for panel, joint in zip(panels, joints, strict=True):
        column = arm[joint]
        for turn, (row, chunk) in enumerate(zip(rows, chunks, strict=True)):
            time_s = (row + np.arange(len(chunk))) / 15.0
            panel.plot(time_s, chunk[:, column], color=("#2a78c2", "#3a9a5b")[turn % 2], lw=1)
        panel.plot(np.arange(len(recorded)) / 15.0, recorded[:, column], "k", lw=1.6)
        panel.set(ylabel=f"{names[column]}, rad")
        panel.grid(alpha=0.3)
    panels[-1].set(xlabel="s")
    figure.savefig(path, dpi=110)


def film(report: Path, path: Path) -> None:
    """Put pictures of a deployment side by side, a row for each camera."""
    shown: dict[str, list[NDArray[np.uint8]]] = {}
    for camera, _, data in _IMAGE.findall(report.read_text()):
        coded = np.frombuffer(base64.b64decode(data), np.uint8)
        picture: Any = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        shown.setdefault(camera, []).append(picture)
    chosen = [
        np.hstack([all_of[at] for at in np.linspace(0, len(all_of) - 1, FILM).round().astype(int)])
        for all_of in shown.values()
    ]
    strip = np.vstack(chosen)
    small = cv2.resize(strip, None, fx=0.55, fy=0.55, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), small, [cv2.IMWRITE_JPEG_QUALITY, 85])


def main() -> None:
    """Draw what there is in the folder that the command line names."""
    folder = Path(sys.argv[1])
    results = {
        "as recorded" if path.name == "results" else path.name.removeprefix("results_"): path
        for path in sorted(folder.glob("results*"))
        if (path / "training/curve.jsonl").exists()
    }
    curves(results, PICTURES / "loop_curve.png")
    own = folder / "results"
    strands(own, PICTURES / "loop_strands.png")
    for seed in sorted((own / "deployed").glob("*.json")):
        if json.loads(seed.read_text())["success"]:
            film(seed.with_suffix("") / "report.html", PICTURES / "loop_film.jpg")
            break


if __name__ == "__main__":
    main()
