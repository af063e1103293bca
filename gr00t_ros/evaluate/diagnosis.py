"""Why a policy with these figures would move the arm badly: rules with their thresholds.

A small open-loop error is a mean over many rows. It hides what the arm feels: two chunks in a row
that contradict each other. Each rule looks at one such cause; docs/evaluate.md has them as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gr00t_ros.evaluate.lags import Lag
from gr00t_ros.evaluate.measures import STILL, Measures

Floats = NDArray[np.float64]

PROBLEM: Final = "problem"
NOTE: Final = "note"

HOLDS_SHARE: Final = 0.05
"""A policy holds if its distance from the held state is this share of that state's error."""
LAG_ROWS, LAG_EXPLAINED, LAG_RELATIVE = 0.5, 0.7, 1e-4
"""A lag counts from these rows on, if it explains this share of an error of that relative size."""
TRACKING_S: Final = 0.15
"""The most that the state of a robot that follows is behind its command."""
LATENCY_EXPLAINED: Final = 0.98
GAIN, CORRELATION = 1.5, 0.95
"""Units differ if a prediction is the recording times more than this, at that correlation."""
SEAMS_LEAST: Final = 6
SEAM_SHARE, SEAM_LEAST = 0.25, 1e-3
"""Seams count if they disagree by this share of the motion between two queries, and by 1e-3."""
ALTERNATES: Final = -0.7
MODES_NEAR, MODES_SPREAD, MODES_LEAST = 0.2, 0.3, 4
"""Seams inside a mode and between two: at most this share of the other, this spread, and as many
between two."""
CHATTER_SHARE: Final = 0.5
TURNS_MORE, TURNS_TIMES = 0.5, 2.0
SMALL_ERROR: Final = 0.05
"""An error that looks small: this share of the recorded variance."""
REFUSED_SHARE: Final = 0.05
PICTURE_CORRELATION, PICTURE_GAIN, PICTURE_ROWS = 0.5, 0.05, 2.0
SWAP_WORSE, SWAP_SAME = 1.5, 0.02


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One cause. kind: its name in JSON. parts: labels of components, joints or cameras."""

    kind: str
    level: str
    parts: tuple[str, ...]
    text: str
    advice: str


ADVICE: Final = {
    "not_finite": "the node drops such chunks: look for NaN in the checkpoint's statistics",
    "holds": "the policy has learned to stand still: check the training's action column and its "
    "relative statistics, and train longer",
    "lags_by_latency": "the policy learned actions that are as late as the latency: record what "
    "was commanded, and train on it",
    "misaligned": "check the stamps of this recording, and of the data that the policy was trained "
    "on: gr00t dataset validate",
    "follows_state": "expected of a policy that goes on from the measured state; if it was trained "
    "on commands, check that states were not taken for actions",
    "state_late": "robots follow their command within about 150 ms: check the stamps of states and "
    "actions, and the stiffness of the controller",
    "latency": "the recording was made with this latency: give it as --latency-ms",
    "units": "compare the unit, the scale and the statistics of these keys with the training data",
    "offset": "compare zero positions and statistics of these keys with the training data",
    "order": "compare the order of the joints with the training data",
    "modes": "the data has two ways to do the task and the policy picks one anew at each query: "
    "execute more steps of a chunk, fix the sampling seed, or train on one way",
    "alternates": "each chunk contradicts the one before: look for state that the server keeps, "
    "for a relative action that is added twice, and for a wrong history of pictures",
    "chatter": "raise the number of denoising steps or fix the sampling seed, execute more steps "
    "of a chunk, train longer; or the server lost its state: reset between queries, or asked by "
    "two clients at once",
    "oscillates": "the findings about seams say why; a longer execute_steps or fade_ms softens it",
    "guard": "the node would not follow these chunks: the reason says what to correct",
    "no_better_than_hold": "the policy is of no use on this data: check embodiment, checkpoint and "
    "instruction",
    "state_leads": "the actions of this recording are later than the states they should cause: "
    "check the stamps, and how actions were recorded",
    "pictures_apart": "pictures and joints of this recording have wrong stamps: check the camera's "
    "stamps, and that no frame was lost",
    "cameras_swapped": "two cameras have exchanged names, in this data or in the training data",
    "cameras_ignored": "the policy does not look at these cameras: check their names in the "
    "modality config and whether the data needs them",
    "cameras_matter": "as it should be",
}


def diagnose(measures: Measures) -> tuple[Diagnosis, ...]:
    """All findings of one episode, problems first."""
    found: list[Diagnosis] = []
    for rule in _RULES:
        found += rule(measures, tuple(found))
    return tuple(sorted(found, key=lambda one: one.level != PROBLEM))


Rule = Callable[[Measures, tuple[Diagnosis, ...]], Iterator[Diagnosis]]


def _finding(kind: str, parts: Sequence[str], text: str, level: str = PROBLEM) -> Diagnosis:
    return Diagnosis(kind, level, tuple(parts), text, ADVICE[kind])


def _labels(measures: Measures, flags: NDArray[np.bool_]) -> list[str]:
    return [part.label for part, flag in zip(measures.parts, flags, strict=True) if flag]


def _kinds(found: Sequence[Diagnosis]) -> set[str]:
    return {one.kind for one in found}


# --- numbers -----------------------------------------------------------------------------------


def _not_finite(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    if m.predictions.unfit:
        row, text = next(iter(m.predictions.unfit.items()))
        count, queries = len(m.predictions.unfit), len(m.predictions.rows)
        yield _finding("not_finite", [], f"{count} of {queries} chunks; first at row {row}: {text}")


def _holds(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    use = m.counted[:, None] & np.isfinite(m.played - m.hold)
    near = np.where(use, (m.played - m.hold) ** 2, 0.0).sum(axis=0) / np.maximum(use.sum(axis=0), 1)
    away = m.errors["hold"].mse
    flags = m.moving & (away > 0.0) & (near < HOLDS_SHARE * away)
    judged = m.moving & np.isfinite(away) & (away > 0.0)
    if flags.any() and flags.sum() * 2 > judged.sum():
        yield _finding(
            "holds",
            _labels(m, flags),
            f"{flags.sum()} of {judged.sum()} moving components are predicted to stay at the state "
            f"of the observation (distance from it: RMS {_rms(near[flags]):.2g}, its own error: "
            f"RMS {_rms(away[flags]):.2g})",
        )


def _rms(mse: Floats) -> float:
    return float(np.sqrt(np.mean(mse)))


def _units(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    """Gain, offset or order, from the line through predicted against recorded."""
    lines, offsets, orders = [], [], []
    for c in np.flatnonzero(m.moving).tolist():
        use = m.counted & np.isfinite(m.played[:, c]) & np.isfinite(m.recorded[:, c])
        if use.sum() < 8:
            continue
        x, y = m.recorded[use, c], m.played[use, c]
        if np.std(x) < 1e-12 or np.std(y) < 1e-12:
            continue
        label, own = m.parts[c].label, float(np.corrcoef(x, y)[0, 1])
        gain = own * float(np.std(y) / np.std(x))
        bias, rest = float(np.mean(y - x)), float(np.std(y - x))
        if abs(own) >= CORRELATION and not 1.0 / GAIN < gain < GAIN:
            lines.append((label, gain))
        elif own >= CORRELATION and abs(bias) > 3.0 * rest and abs(bias) > 0.1 * np.std(x):
            offsets.append((label, bias))
        elif own < 0.5 and (other := _twin(m, c, y, use)):
            orders.append((label, other))
    if lines:
        label, gain = max(lines, key=lambda one: abs(np.log(abs(one[1]))))
        text = f"predicted = {gain:.3g} x recorded for {label}{_known_ratio(gain)}"
        yield _finding("units", [name for name, _ in lines], text)
    if offsets and "holds" not in _kinds(found):
        label, bias = max(offsets, key=lambda one: abs(one[1]))
        text = f"predicted is recorded {bias:+.3g} for {label}, all along"
        yield _finding("offset", [name for name, _ in offsets], text)
    if orders:
        text = "; ".join(f"{label} follows the recorded {other}" for label, other in orders[:3])
        yield _finding("order", [name for name, _ in orders], text)


def _twin(m: Measures, c: int, predicted: Floats, use: NDArray[np.bool_]) -> str:
    """The label of another component that this prediction follows, or an empty text."""
    for other in np.flatnonzero(m.moving).tolist():
        values = m.recorded[use, other]
        usable = other != c and np.isfinite(values).all() and np.std(values) > 1e-12
        if usable and np.corrcoef(values, predicted)[0, 1] >= CORRELATION:
            label: str = m.parts[other].label
            return label
    return ""


def _known_ratio(gain: float) -> str:
    for ratio, meaning in (
        (57.2958, "degrees in place of radians"),
        (1.0 / 57.2958, "radians in place of degrees"),
        (1000.0, "mm in place of m"),
        (0.001, "m in place of mm"),
        (-1.0, "the sign is reversed"),
    ):
        if 0.9 < gain / ratio < 1.1:
            return f": {meaning}?"
    return ""


def _no_better_than_hold(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    own, hold = m.relative(m.errors["policy"]), m.relative(m.errors["hold"])
    if "holds" not in _kinds(found) and np.isfinite(hold) and own >= hold > 0.0:
        text = f"relative error {own:.3g}, holding the state {hold:.3g}"
        yield _finding("no_better_than_hold", [], text)


# --- time --------------------------------------------------------------------------------------


def _latency(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    total = m.by_latency[:, m.moving].sum(axis=1)
    if len(total) <= m.late or not np.isfinite(total).all():
        return
    best = int(np.argmin(total))
    if total[m.late] <= 0.0 or best == m.late:
        return
    explained = 1.0 - total[best] / total[m.late]
    if explained >= LATENCY_EXPLAINED:
        yield _finding(
            "latency",
            [],
            f"{100 * explained:.0f} % of the error vanishes if each chunk arrives {best} rows "
            f"({1e3 * best / m.rate_hz:.0f} ms) after its observation, in place of {m.late}",
            NOTE,
        )


def _lag(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    """Predictions behind or ahead of the recording, unless state and latency account for it."""
    late, kinds = m.lag, _kinds(found)
    if kinds & {"holds", "latency"} or not _is_sure(late) or abs(late.rows) < LAG_ROWS:
        return
    latency_rows = m.settings.latency_ns * 1e-9 * m.rate_hz
    tracking_rows = m.state_lag.rows if _is_sure(m.state_lag) else 0.0
    follows = 0.0 < tracking_rows <= TRACKING_S * m.rate_hz and late.rows > 0.0
    from_state, from_latency = (abs(late.rows - r) for r in (tracking_rows, latency_rows))
    share = f"a shift by that much explains {100 * late.explained:.0f} % of the squared error"
    if (
        latency_rows > 0.0
        and from_latency <= LAG_ROWS
        and not (follows and from_state < from_latency)
    ):
        text = f"predictions are {_by(m, late)} behind the recording, as the latency; {share}"
        yield _finding("lags_by_latency", [], text)
    elif follows and late.rows <= tracking_rows + latency_rows + LAG_ROWS:
        text = (
            f"predictions are {_by(m, late)} behind the recorded command, the measured state is "
            f"{_by(m, m.state_lag)} behind it: the policy goes on from the state; {share}"
        )
        yield _finding("follows_state", [], text, NOTE)
    else:
        way = "behind" if late.rows > 0 else "ahead of"
        text = f"predictions are {_by(m, late)} {way} the recorded actions; {share}"
        yield _finding("misaligned", [], text)


def _is_sure(late: Lag) -> bool:
    return late.explained >= LAG_EXPLAINED and late.relative >= LAG_RELATIVE


def _by(m: Measures, late: Lag) -> str:
    return f"{abs(late.rows):g} rows ({1e3 * abs(late.rows) / m.rate_hz:.0f} ms)"


def _state_late(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    if _is_sure(m.state_lag) and m.state_lag.rows > TRACKING_S * m.rate_hz:
        yield _finding(
            "state_late",
            [],
            f"the recorded state is {_by(m, m.state_lag)} behind the recorded action",
        )


def _state_leads(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    if _is_sure(m.state_lag) and m.state_lag.rows <= -LAG_ROWS:
        yield _finding(
            "state_leads",
            [],
            f"the recorded state is {_by(m, m.state_lag)} ahead of the recorded action, which "
            "should cause it",
        )


def _pictures_apart(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    for camera, late in m.picture_lags.items():
        sure = late.explained >= PICTURE_CORRELATION
        sure &= late.explained - late.relative >= PICTURE_GAIN
        if sure and abs(late.rows) >= PICTURE_ROWS:
            way = "behind" if late.rows > 0 else "ahead of"
            yield _finding(
                "pictures_apart",
                [camera],
                f"pictures of {camera} change {abs(late.rows):g} rows "
                f"({1e3 * abs(late.rows) / m.rate_hz:.0f} ms) {way} the recorded joints "
                f"(correlation {late.explained:.2f}, without a shift {late.relative:.2f})",
            )


# --- seams -------------------------------------------------------------------------------------


def _seams(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    """Chunks that contradict each other: in turns, between two modes, or at random."""
    if len(m.seams.rows) < SEAMS_LEAST or "holds" in _kinds(found):
        return  # chunks that hold the state differ as the state does
    kinds: dict[str, list[tuple[int, float]]] = {"alternates": [], "modes": [], "chatter": []}
    motion = m.key_motion()
    for c in np.flatnonzero(motion > STILL).tolist():
        # A joint that should rest while others of its key move is judged by their motion.
        kind, size = _seam_kind(m.seams.offset[:, c], max(float(m.motion[c]), 0.5 * motion[c]))
        if kind:
            kinds[kind].append((c, size))
    if len(kinds["modes"]) < len(kinds["chatter"]):  # two modes concern many joints at once
        kinds["chatter"] += kinds["modes"]
        kinds["modes"] = []
    period_s = m.settings.every_rows / m.rate_hz
    texts = {
        "alternates": f"changes its sign at nearly every query, at {0.5 / period_s:.2g} Hz",
        "modes": "is near zero at some seams and of one size at others: two modes",
        "chatter": f"is more than {CHATTER_SHARE:g} of the recorded motion between two queries",
    }
    for kind, hits in kinds.items():
        if hits:
            c, size = max(hits, key=lambda hit: hit[1] / max(float(motion[hit[0]]), SEAM_LEAST))
            part = m.parts[c]
            yield _finding(
                kind,
                [m.parts[hit].label for hit, _ in hits],
                f"the disagreement of successive chunks {texts[kind]}; {part.label}: {size:.3g} "
                f"{part.unit}, recorded motion between two queries {m.motion[c]:.3g}",
            )


def _seam_kind(offset: Floats, motion: float) -> tuple[str, float]:
    """The kind of disagreement of one component's seams (S,), and its size."""
    offset = offset[np.isfinite(offset)]
    size = np.abs(offset)
    rms = float(np.sqrt(np.mean(offset**2))) if len(offset) else 0.0
    if len(offset) < SEAMS_LEAST or rms < max(SEAM_SHARE * motion, SEAM_LEAST):
        return "", 0.0
    repeated = float(np.sum(offset[1:] * offset[:-1]) / np.sum(offset[1:] ** 2))
    if repeated < ALTERNATES and np.mean(size < 0.3 * size.max()) <= 0.2:
        return "alternates", rms
    apart = _two_modes(offset)
    if apart:
        return "modes", apart
    return ("chatter", rms) if rms > CHATTER_SHARE * motion else ("", 0.0)


def _two_modes(offset: Floats) -> float:
    """The distance of two modes, or 0: some seams near zero, the others of one size, in turns."""
    size = np.sort(np.abs(offset))
    count = len(size)
    split = max(range(1, count), key=lambda n: n * (count - n) * _gap(size, n) ** 2)
    low, high = size[:split], size[split:]
    if len(high) < MODES_LEAST or len(low) < 0.1 * count:
        return 0.0
    large = offset[np.abs(offset) >= high[0]]
    turns = float(np.mean(np.sign(large[1:]) != np.sign(large[:-1])))
    clear = low.mean() < MODES_NEAR * high.mean() and high.std() < MODES_SPREAD * high.mean()
    return float(high.mean()) if clear and turns >= 0.75 else 0.0


def _gap(size: Floats, split: int) -> float:
    return float(size[split:].mean() - size[:split].mean())


# --- motion ------------------------------------------------------------------------------------


def _guard(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    guard = m.deployed.guard
    lost = guard.refused - len(m.predictions.unfit)
    if "holds" in _kinds(found):
        return  # the state is behind the recorded command: no fault of joint order, unit or scale
    if guard.chunks and lost > REFUSED_SHARE * guard.chunks:
        reasons = {k: v for k, v in guard.reasons.items() if k not in ("late", "finite")}
        kind, (count, text) = max(reasons.items(), key=lambda item: item[1][0])
        yield _finding(
            "guard",
            [],
            f"the guard would refuse {lost} of {guard.chunks} chunks, mostly for {kind} "
            f"({count}); first: {text}",
        )


def _oscillates(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    shaped, recorded = m.shaped.turns_hz, m.shaped_recorded.turns_hz
    flags = (shaped > recorded + TURNS_MORE) & (shaped > TURNS_TIMES * recorded)
    if not flags.any():
        return
    j = int(np.argmax(np.where(flags, shaped - recorded, -1.0)))
    own = m.relative(m.errors["policy"])
    small = np.isfinite(own) and own < SMALL_ERROR
    error = (
        f"the open-loop error is small ({100 * own:.2g} % of the variance)"
        if small
        else (f"the open-loop error is {100 * own:.2g} % of the variance")
    )
    yield _finding(
        "oscillates",
        [name for name, flag in zip(m.deployed.joints, flags, strict=True) if flag],
        f"{error}, and the arm would turn back {shaped[j]:.1f} times a second in "
        f"{m.deployed.joints[j]} after guard and shaper, {recorded[j]:.1f} in the recording",
    )


# --- cameras -----------------------------------------------------------------------------------


def _cameras(m: Measures, found: tuple[Diagnosis, ...]) -> Iterator[Diagnosis]:
    if m.swapped is None or m.settings.swap is None:
        return
    own, other = m.relative(m.errors["policy"]), m.relative(m.swapped)
    pair = " and ".join(m.settings.swap)
    text = f"relative error {own:.3g}, with {pair} exchanged {other:.3g}"
    if not (np.isfinite(own) and np.isfinite(other)):
        return
    if abs(other - own) <= SWAP_SAME * max(own, other):
        yield _finding("cameras_ignored", m.settings.swap, text, NOTE)
    elif own > SWAP_WORSE * other:
        yield _finding("cameras_swapped", m.settings.swap, text)
    elif other > SWAP_WORSE * own:
        yield _finding("cameras_matter", m.settings.swap, text, NOTE)


_RULES: Final[tuple[Rule, ...]] = (
    *(_not_finite, _holds, _units, _no_better_than_hold),
    *(_latency, _lag, _state_leads, _state_late, _pictures_apart),
    *(_seams, _guard, _oscillates, _cameras),
)
