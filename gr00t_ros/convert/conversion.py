"""Many recorded episodes -> one dataset: in parallel, resumable, and whole or not there at all.

Everything is made in OUTPUT.partial: each episode in a folder of its own (dataset/staged), then the
dataset, which gets its name by one rename. So a killed conversion leaves no half dataset, and the
next one goes on with the episodes that are finished. The content does not depend on the workers.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gr00t_ros.convert.episodes import EpisodeReference
from gr00t_ros.convert.place import Named, Place
from gr00t_ros.dataset.contents import Contents
from gr00t_ros.dataset.embodiment_file import COPY, copy_to
from gr00t_ros.dataset.staged import BagIdentity, has_content, read_staged, stage, told_apart
from gr00t_ros.dataset.writer import Old, staged_of, write_dataset
from gr00t_ros.errors import BagError, Gr00tError, SettingsError
from gr00t_ros.folder import write_whole
from gr00t_ros.robot.data_file import read_json
from gr00t_ros.robot.embodiment import Embodiment

DONE_FILE: Final = "done.json"
SPLIT: Final = "split"
REFUSE: Final = "refuse"


@dataclass(frozen=True, slots=True)
class ConversionSettings:
    """How a dataset is written: form: groot or lerobot3. gaps: SPLIT or REFUSE."""

    form: str = "groot"
    codec: str = "h264"
    gaps: str = REFUSE
    workers: int = 1
    resume: bool = False
    append: bool = False


@dataclass(frozen=True, slots=True)
class ConversionJob:
    """One episode to convert, and where it is staged."""

    reference: EpisodeReference
    folder: Path
    codec: str
    gaps: str

    @property
    def identity(self) -> str:
        """What the staged episode depends on; the same identity gives the same files."""
        reference = self.reference
        files = sorted(reference.path.iterdir()) if reference.path.is_dir() else [reference.path]
        content: list[Any] = [
            *((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files),
            *(str(reference.path.resolve()), reference.instruction, reference.keep_size),
            *(self.codec, repr(reference.embodiment), repr(reference.settings)),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """Size of the bag."""
        path = self.reference.path
        files = path.iterdir() if path.is_dir() else [path]
        return sum(one.stat().st_size for one in files)


@dataclass(slots=True)
class Done:
    """One converted episode. gaps: SPLIT or REFUSE. rows: of each part. cut: what is in no part."""

    name: str
    identity: str
    gaps: str
    rows: list[int]
    cut: list[str]
    seconds: float


@dataclass(slots=True)
class Result:
    """A conversion: its dataset, what is not in it, and the episodes that failed.

    named_before: what an interrupted conversion had finished, so that nothing was left to do.
    there: the episodes that the dataset had already, which are not added again. unchanged: the rows
    of each of the dataset's episodes, where it had all of them already.
    """

    contents: Contents | None = None
    done: list[Done] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    named_before: Named | None = None
    there: list[str] = field(default_factory=list)
    unchanged: list[int] = field(default_factory=list)


def convert(
    references: Sequence[EpisodeReference],
    embodiment: Embodiment,
    output: Path,
    settings: ConversionSettings,
    discarded: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Write the dataset `output`; nothing has that name before it is whole.

    If an episode fails, nothing is written, and the finished ones stay for `resume`. Raises
    SettingsError for an output that is there already or is being converted, and for episodes that
    do not fit together.
    """
    place = Place(output)
    try:
        bags = [one.path for one in references]
        named = place.begin(bags, settings.append, settings.resume)
        if named is not None:
            return Result(named_before=named)
        return _convert(place, references, embodiment, settings, discarded, progress)
    finally:
        place.leave()


def _convert(
    place: Place,
    references: Sequence[EpisodeReference],
    embodiment: Embodiment,
    settings: ConversionSettings,
    discarded: Sequence[str],
    progress: Callable[[str], None],
) -> Result:
    staging, made = place.partial / "staged", place.made
    result, form, old = Result(), settings.form, None
    given = [str(one.path.resolve()) for one in references]
    robot_file = _robot_file(embodiment, place.partial, progress)
    if settings.append:
        old = staged_of(place.output, place.partial / "old", form)
        bags = [read_staged(one).bag for one in old.folders]
        references = _new(references, bags, result.there)
    jobs = [
        ConversionJob(one, staging / f"{number:06d}", settings.codec, settings.gaps)
        for number, one in enumerate(references)
    ]
    done = _converted(jobs, settings.workers, result.failed, progress)
    if result.failed:
        return result
    result.done = [done[number] for number in range(len(jobs))]
    folders = [part for job in jobs for part in _parts(job.folder)]
    if old is not None:
        folders = _unknown_to(old, folders, result.there)
        if not folders:
            result.unchanged = [read_staged(one).length for one in old.folders]
            place.clear()
            return result
        folders, discarded = [*old.folders, *folders], [*old.discarded, *discarded]
    shutil.rmtree(made, ignore_errors=True)
    result.contents = write_dataset(form, embodiment, folders, made, discarded, robot_file)
    if old is not None:
        old.refuse_other(result.contents)
    place.give_name(given, len(result.contents.episodes), result.contents.frames)
    return result


def _new(
    references: Sequence[EpisodeReference], bags: Sequence[BagIdentity], there: list[str]
) -> list[EpisodeReference]:
    """The episodes whose bag is none of these; the names of the others go to `there`."""
    new = []
    for one in references:
        try:
            known = one.is_of(bags)
        except BagError:  # its conversion says so
            known = False
        if known:
            there.append(str(one.path))
        else:
            new.append(one)
    return new


def _unknown_to(old: Old, folders: Sequence[Path], there: list[str]) -> list[Path]:
    """The staged episodes that are none of the dataset's whose bags are unknown, by their rows.

    The names of the others go to `there`.
    """
    without = [one for one in old.folders if not read_staged(one).bag]
    known = {told_apart(one) for one in without}
    new = [one for one in folders if not known or told_apart(one) not in known]
    there += [read_staged(one).name for one in folders if one not in new]
    return new


def _robot_file(
    embodiment: Embodiment, folder: Path, progress: Callable[[str], None]
) -> Path | None:
    """The copy of the embodiment file as it is now; none, with a message, if it cannot be read."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = copy_to(folder, embodiment)
    except OSError as error:
        raise SettingsError(f"{folder}: cannot be written: {error}") from error
    if problem:
        progress(f"WARNING: the dataset has no {COPY}: {problem}")
        return None
    return folder / COPY.name


def _converted(
    jobs: Sequence[ConversionJob], workers: int, failed: list[str], progress: Callable[[str], None]
) -> dict[int, Done]:
    """Convert what is not staged yet; the errors go to `failed`, in the order of the jobs."""
    done = {number: one for number, job in enumerate(jobs) if (one := _finished(job)) is not None}
    if done:
        progress(f"{len(done)} of {len(jobs)} episodes were converted before")
    left = [number for number in range(len(jobs)) if number not in done]
    clock = _Clock([jobs[number].size_bytes for number in left])
    problems: dict[int, str] = {}
    for number, outcome in _run(jobs, left, workers):
        left_text = clock.passed(jobs[number].size_bytes)
        name = jobs[number].reference.name
        if isinstance(outcome, Done):
            done[number] = outcome
            text = f"{sum(outcome.rows)} rows"
        else:
            problems[number] = outcome
            text = "failed"
        progress(f"{len(done) + len(problems)} of {len(jobs)}: {name}: {text}; {left_text}")
    failed += [problems[number] for number in sorted(problems)]
    return done


def _run(
    jobs: Sequence[ConversionJob], numbers: Sequence[int], workers: int
) -> Iterator[tuple[int, Done | str]]:
    """(number, result or the reason of the failure) of each job, as they end."""
    if workers <= 1 or len(numbers) <= 1:
        for number in numbers:
            yield number, _work(jobs[number])
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        min(workers, len(numbers)), mp_context=context, initializer=_end_with_parent
    ) as pool:
        running = {pool.submit(_work, jobs[number]): number for number in numbers}
        try:
            for future in as_completed(running):
                yield running[future], future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _end_with_parent() -> None:
    """End this worker when its parent is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(job: ConversionJob) -> Done | str:
    """Convert one episode into its folder; the reason where that fails."""
    begin_s = time.perf_counter()
    try:
        identity = job.identity
        shutil.rmtree(job.folder, ignore_errors=True)
        reference = job.reference
        parts = reference.load_parts() if job.gaps == SPLIT else reference.load_whole()
        bag = reference.bag
        rows = [
            stage(episode, job.folder / f"part_{number}", job.codec, bag).length
            for number, episode in enumerate(parts.episodes)
        ]
        job.folder.mkdir(parents=True, exist_ok=True)
        cut = [str(one) for one in parts.cut]
        spent_s = time.perf_counter() - begin_s
        done = Done(reference.name, identity, job.gaps, rows, cut, spent_s)
        write_whole(job.folder / DONE_FILE, json.dumps(_plain(done)) + "\n")
        return done
    except Gr00tError as error:
        return str(error)
    except OSError as error:
        return f"{job.folder}: cannot be written: {error}"


def _plain(done: Done) -> dict[str, Any]:
    return {
        "name": done.name,
        "identity": done.identity,
        "gaps": done.gaps,
        "rows": done.rows,
        "cut": done.cut,
        "seconds": done.seconds,
    }


def _finished(job: ConversionJob) -> Done | None:
    """The episode if it is staged as it would be now; one without a gap is the same if split.

    None where a file of it cannot be read or has no content: then it is converted again.
    """
    try:
        found = Done(**read_json(job.folder / DONE_FILE))
        parts = {part: read_staged(part) for part in _parts(job.folder)}
    except (SettingsError, TypeError):
        return None
    whole = all(has_content(part, facts) for part, facts in parts.items())
    rows = [facts.length for facts in parts.values()]
    fits = whole and found.gaps in (REFUSE, job.gaps) and found.rows == rows
    return found if found.identity == job.identity and fits else None


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part_*"), key=lambda one: int(one.name.removeprefix("part_")))


class _Clock:
    """How long the rest will take, by the bytes that are left."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._left, self._passed = sum(sizes), 0
        self._begin_s = time.monotonic()

    def passed(self, size: int) -> str:
        self._left, self._passed = self._left - size, self._passed + size
        spent_s = time.monotonic() - self._begin_s
        left_s = round(spent_s * self._left / max(self._passed, 1))
        return f"{left_s // 60}:{left_s % 60:02d} left"
