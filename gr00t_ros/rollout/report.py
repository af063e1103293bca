"""The report as one page: rates with intervals, beside published numbers, each episode's videos.

Pictures and videos are files beside it: an evaluation may have thousands of episodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from gr00t_ros.rollout.success import INFRASTRUCTURE, SUCCESS, counted, rate_of
from gr00t_ros.rollout.trial import Plain

_WIDTH, _LINE, _LEFT = 620, 20, 190
_STYLE: Final = """
body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1240px;padding:0 16px;
color:#1d2330} h1{font-size:22px} h2{font-size:17px;margin:28px 0 8px}
table{border-collapse:collapse;margin:4px 0 12px} th{color:#5f6368}
td,th{padding:3px 12px 3px 0;text-align:left;border-bottom:1px solid #e6e9ee;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums}.dim{color:#5f6368}
.ok{color:#137333}.bad{color:#b3261e}.lost{color:#8a5a00} img{max-width:100%;display:block}
video{width:300px;margin:4px 8px 4px 0}
details{margin:4px 0} svg text{font-size:11px;fill:#3c4043}
"""
_CLASS: Final = {SUCCESS: "ok", INFRASTRUCTURE: "lost"}
_SOURCE: Final = (
    "NVIDIA/Isaac-GR00T, examples/LIBERO/README.md at 559269d2931a7a5fe18fa9e520aba1a23d1504bc: "
    "GR00T N1.6 fine-tuned for 20,000 steps on each suite; percentages as they stand there, which "
    "are not always the fraction beside them"
)


@dataclass(frozen=True, slots=True)
class Published:
    """One number that others have published for GR00T on LIBERO; none is ours."""

    suite: str
    fraction: str
    percent: str

    @property
    def command(self) -> str:
        """The command that measures ours: the same number of episodes."""
        return (
            f"gr00t eval libero --suite {self.suite} --tasks all --episodes 20 --seed 0 "
            f"--host HOST --port PORT --output {self.suite}"
        )


_PUBLISHED: Final = (
    Published("libero_spatial", "195/200", "97.65 %"),
    Published("libero_goal", "195/200", "97.5 %"),
    Published("libero_object", "197/200", "98.45 %"),
    Published("libero_10", "189/200", "94.35 %"),
)


def page(settings: Plain, summary: Plain, lines: Sequence[Plain], resets: bool | None) -> str:
    """The HTML; resets: whether the server was reset between episodes, None: not asked."""
    name = settings["benchmark"]["name"]
    parts = [
        f"<h1>{escape(name)}: closed loop through the policy node</h1>",
        _lost(summary),
        _warning(resets),
        "<h2>Success</h2>" + _conditions(summary),
        "<h2>Tasks: success, with the 95 % interval of Wilson</h2>" + _tasks(summary),
        "<h2>Published numbers</h2>" + _published(summary, settings["server"] is not None),
        "<h2>Episodes</h2>" + "".join(map(_episode, lines)),
        "<h2>Settings</h2>" + _settings(settings),
    ]
    title = f"{escape(name)}: closed-loop evaluation"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style><body>{''.join(parts)}</body></html>\n"
    )


def _lost(summary: Plain) -> str:
    if not summary["infrastructure"]:
        return ""
    causes = "".join(f"<li>{escape(cause[:500])}</li>" for cause in summary["causes"])
    return (
        f'<p class="lost">{summary["infrastructure"]} of {summary["episodes"]} episodes have no '
        f"verdict: something beside the policy failed. They count in no rate; the same command "
        f"plays them again.</p><ul>{causes}</ul>"
    )


def _warning(resets: bool | None) -> str:
    if resets is not False:
        return ""
    return (
        "<p>The server answers a reset and passes it on to no policy (proxy, pool or N1.5): a "
        "policy with a memory would keep it over episodes.</p>"
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in header)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _number(value: Any, digits: int = 0) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def rate_text(entry: Plain) -> str:
    """A rate of the summary in words."""
    if entry["rate"] is None:
        return f"no verdict ({entry['infrastructure']} infrastructure)"
    lost = counted(entry["refused"], entry["infrastructure"])
    return (
        f"{entry['successes']}/{entry['episodes']} = {100 * entry['rate']:.1f} % "
        f"({100 * entry['low']:.1f} to {100 * entry['high']:.1f}){lost}"
    )


def tool_text(found: Plain) -> str:
    """The largest velocity, acceleration and jerk of the tool; "-" without a record."""
    if not found:
        return "-"
    return (
        f"{found['tool_m_s']:.2f} m/s, {found['tool_m_s2']:.1f} m/s², "
        f"{found['tool_m_s3']:.0f} m/s³; {found['tool_rad_s']:.2f} rad/s, "
        f"{found['tool_rad_s2']:.1f} rad/s², {found['tool_rad_s3']:.0f} rad/s³"
    )


def _conditions(summary: Plain) -> str:
    header = (
        *("strategy", "added latency ms", "success", "simulated s", "queries"),
        *("end to end p50 / p99 ms", "clamped", "refused", "paused s", "episodes beyond limits"),
        *("largest of the tool", "real-time factor"),
    )
    rows = [
        (
            escape(one["strategy"]),
            f"{one['latency_ms']:g}",
            rate_text(one),
            _number(one["simulated_s"], 1),
            _number(one["queries"], 1),
            f"{_number(one['end_to_end_p50_ms'])} / {_number(one['end_to_end_p99_ms'])}",
            str(one["chunks_clamped"]),
            str(one["chunks_refused"]),
            _number(one["paused_s"], 2),
            str(one["motion_broken"]),
            tool_text(one["tool"]),
            _number(one["real_time_factor"], 3),
        )
        for one in summary["conditions"]
    ]
    return _table(header, rows)


def _tasks(summary: Plain) -> str:
    parts = []
    for one in summary["conditions"]:
        parts.append(f"<h3>{escape(one['strategy'])}, +{one['latency_ms']:g} ms</h3>")
        for suite in one["suites"]:
            bars = [(suite["suite"], suite)]
            bars += [(f"{task['task']}", task) for task in suite["tasks"]]
            parts.append(_bars(bars))
            rows = [
                (str(task["task"]), escape(task["instruction"]), rate_text(task))
                for task in suite["tasks"]
            ]
            parts.append(_table(("task", "instruction", "success"), rows))
    return "".join(parts)


def _bars(bars: Sequence[tuple[str, Plain]]) -> str:
    """One bar a rate, with its interval as a line."""
    span = _WIDTH - _LEFT - 10
    parts = []
    for number, (name, entry) in enumerate(bars):
        y = number * _LINE + 4
        rate = entry["rate"] or 0.0
        low, high = (_LEFT + span * entry[end] for end in ("low", "high"))
        parts.append(
            f'<text x="{_LEFT - 8}" y="{y + 11}" text-anchor="end">{escape(name)}</text>'
            f'<rect x="{_LEFT}" y="{y}" width="{span}" height="13" fill="#f1f3f4"/>'
            f'<rect x="{_LEFT}" y="{y}" width="{span * rate:.1f}" height="13" fill="#1a73e8"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{y + 6.5}" y2="{y + 6.5}" '
            'stroke="#14181f" stroke-width="1.5"/>'
        )
    height = len(bars) * _LINE + 6
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        f'aria-label="success rates">{"".join(parts)}</svg>'
    )


def _published(summary: Plain, named: bool) -> str:
    """named: a server was named; the scripted policy's numbers are not beside those of a model."""
    found = {
        suite["suite"]: rate_text(suite)
        for one in summary["conditions"][:1]
        for suite in one["suites"]
        if named
    }
    rows = [
        (
            row.suite,
            f"{row.fraction} ({row.percent})",
            escape(found.get(row.suite, "")),
            f"<code>{escape(row.command)}</code>",
        )
        for row in _PUBLISHED
    ]
    header = ("suite", "published", "this run, first condition", "the command that fills it")
    return _table(header, rows) + f'<p class="dim">Source: {escape(_SOURCE)}.</p>'


def _episode(line: Plain) -> str:
    kind = _CLASS.get(line["outcome"], "bad")
    head = (
        f"{line['suite']} {line['task']}, episode {line['episode']}, {line['strategy']}, "
        f"+{line['latency_ms']:g} ms: {line['outcome']}"
    )
    spent = "" if line["simulated_s"] is None else f", {line['simulated_s']:.1f} s simulated"
    events = "".join(
        f"<li>{one['s']:.2f} s {escape(one['mode'])}: {escape(one['reason'][:300])}</li>"
        for one in line["events"]
    )
    broken = "".join(f"<li>{escape(one)}</li>" for one in line["motion"]["broken"])
    pictures = "".join(
        f'<img loading="lazy" src="{escape(name)}" alt="{escape(name)}">'
        for name in line["pictures"]
    )
    videos = "".join(
        f'<video controls preload="none" src="{escape(name)}" title="{escape(name)}"></video>'
        for name in line.get("videos", ())  # not in lines of before there were videos
    )
    no_video = f"Video: {why[:300]}" if (why := line.get("no_video")) else ""
    return (
        f'<details><summary class="{kind}">{escape(head)}{spent}</summary>'
        f"<p>“{escape(line['instruction'])}” {escape(line['cause'][:1000])}</p>"
        f"<p>{line['queries']} queries, {line['chunks_clamped']} clamped, "
        f"{line['chunks_refused']} refused, end to end p50/p99 "
        f"{_number(line['end_to_end_p50_ms'])}/{_number(line['end_to_end_p99_ms'])} ms, "
        f"{line['motion']['messages']} velocities judged, "
        f"largest of the tool: {tool_text(line['motion'].get('tool', {}))}</p>"
        + (f"<p>Beyond limits:</p><ul>{broken}</ul>" if broken else "")
        + (f"<p>Node:</p><ul>{events}</ul>" if events else "")
        + f'{pictures}<p class="dim">{escape(no_video)}</p>{videos}</details>'
    )


def _settings(settings: Plain) -> str:
    return _table(
        ("setting", "value"),
        [(escape(str(k)), f"<code>{escape(str(v))}</code>") for k, v in settings.items()],
    )


def overall(lines: Sequence[Plain]) -> str:
    """The rate over all episodes, in words."""
    return str(rate_of(lines))
