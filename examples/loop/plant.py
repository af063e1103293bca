"""Faults that are put into a dataset on purpose: its tools have to find them."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

from examples.loop.stages import Loop

PLANTS = ("misalign=ROWS", "swap-cameras")
"""misalign: all pictures are that many rows late. swap-cameras: each camera under the other's name,
for the training only; the policy is then deployed with the cameras as they are."""
_MISALIGN = re.compile(r"misalign=([1-9]\d?)")


def fault(text: str) -> str:
    """The fault that --plant names, as argparse reads it."""
    if text != "swap-cameras" and not _MISALIGN.fullmatch(text):
        raise argparse.ArgumentTypeError(f"got {text}, expected one of {', '.join(PLANTS)}")
    return text


def plant(loop: Loop) -> None:
    """Copy the dataset and put the fault into the copy; nothing without a fault."""
    if not loop.plant or loop.trained_on.exists():
        return
    draft = loop.trained_on.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(loop.dataset, draft)
    misaligned = _MISALIGN.fullmatch(loop.plant)
    if misaligned:
        for video in sorted(draft.glob("videos/**/*.mp4")):
            delay(video, int(misaligned[1]))
    else:
        swap(draft)
    draft.rename(loop.trained_on)


def delay(video: Path, rows: int) -> None:
    """Show each picture `rows` rows later; the first one stays for so long, the last are gone."""
    import av

    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    shown = [frames[0]] * rows + frames[: len(frames) - rows]
    draft = video.with_suffix(".draft.mp4")
    with av.open(str(draft), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.height, stream.width = shown[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for picture in shown:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    draft.replace(video)


def swap(dataset: Path) -> None:
    """Exchange the folders of the two cameras' videos."""
    for chunk in sorted((dataset / "videos").iterdir()):
        first, second = sorted(chunk.iterdir())
        aside = chunk / "aside"
        first.rename(aside)
        second.rename(first)
        aside.rename(second)
