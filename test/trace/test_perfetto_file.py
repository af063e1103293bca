"""A trace's file as the format's own protobuf classes read it, and what happens without a file."""

import resource
import subprocess
import sys
from collections import Counter

import pytest

pytest.importorskip("perfetto", reason="the Python package perfetto is not installed")

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as perfetto  # noqa: E402
from trace_reader import flow_slices, slices_of  # noqa: E402

from gr00t_ros.errors import TraceError  # noqa: E402
from gr00t_ros.trace import perfetto_file  # noqa: E402
from gr00t_ros.trace.flow import Flow, Span  # noqa: E402
from gr00t_ros.trace.perfetto_file import lines, refuse_path, trace_bytes, write_trace  # noqa: E402


def flow(number, at_ns):
    """An observation with one camera that begins at this time."""
    names = ("camera/front", "arrival/front", "decode", "server", "guard", "controller")
    spans = tuple(Span(s, at_ns + 10 * i, at_ns + 10 * i + 10) for i, s in enumerate(names))
    return Flow(number, number, 1, 5_000, 1_000, "executed", "", spans)


def test_each_observation_is_one_flow_over_the_tracks_of_its_threads():
    """From camera to controller; the last slice ends it."""
    content = trace_bytes([flow(1, 1_000), flow(2, 1_025)])
    found = flow_slices(content, 2)
    assert [(one.track, one.name, one.begin_ns, one.end_ns) for one in found] == [
        ("cameras: front", "camera", 1025, 1035),
        ("cameras: front", "arrival", 1035, 1045),
        ("worker thread", "decode", 1045, 1055),
        ("policy server", "server", 1055, 1065),
        ("replay thread", "guard", 1065, 1075),
        ("controllers", "controller", 1075, 1085),
    ]
    assert [one.ends_flow for one in found] == [False] * 5 + [True]
    assert found[-1].facts["outcome"] == "executed"
    assert found[0].facts == {"observation": 2, "episode": 1, "chunk": 2}


def test_slices_of_one_track_never_cross():
    """Where two observations overlap, the second gets a track of the same name."""
    content = trace_bytes([flow(n, 1_000 + 7 * n) for n in range(1, 9)])
    assert Counter(one.name for one in slices_of(content))["controller"] == 8
    last = {}
    for one in slices_of(content):
        assert one.begin_ns >= last.get(one.track_uuid, 0)
        last[one.track_uuid] = one.end_ns


def test_tracks_have_one_process_and_a_place():
    """Cameras first, controllers last."""
    trace = perfetto.Trace.FromString(trace_bytes([flow(1, 1_000)]))
    tracks = [p.track_descriptor for p in trace.packet if p.HasField("track_descriptor")]
    assert tracks[0].process.process_name == "gr00t_policy"
    assert {track.parent_uuid for track in tracks[1:]} == {tracks[0].uuid}
    ranks = sorted(tracks[1:], key=lambda track: track.sibling_order_rank)
    assert [ranks[0].name, ranks[-1].name] == ["cameras: front", "controllers"]
    assert all(packet.trusted_packet_sequence_id for packet in trace.packet)


def test_a_path_that_cannot_be_is_refused_before_anything_is_recorded(tmp_path):
    """Each with what to do about it."""
    there = tmp_path / "there.pftrace"
    there.write_bytes(b"mine")
    for path, why in (
        (tmp_path / "trace.json", "expected .pftrace"),
        (tmp_path / "none" / "x.pftrace", "there is no folder"),
        (there, "not overwritten"),
        (tmp_path / f"{'x' * 300}.pftrace", "cannot be used"),
        (tmp_path / "nul\0.pftrace", "cannot be used"),
    ):
        with pytest.raises(TraceError, match=why):
            refuse_path(path)
        with pytest.raises(TraceError, match=why):
            write_trace(path, [flow(1, 1_000)])
    assert [one.name for one in tmp_path.iterdir()] == ["there.pftrace"]
    assert there.read_bytes() == b"mine"


def written_by_process(path, text, most_bytes=resource.RLIM_INFINITY):
    """The writing process, which may write files of so many bytes only."""
    return subprocess.run(
        [sys.executable, "-m", "gr00t_ros.trace.perfetto_file", str(path)],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
    )


def test_a_process_of_its_own_writes_the_file(tmp_path):
    """What the node gives it, whole, and with nothing beside it."""
    path = tmp_path / "x.pftrace"
    done = written_by_process(path, "".join(lines([flow(1, 1_000), flow(2, 2_000)])))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert path.read_bytes() == trace_bytes([flow(1, 1_000), flow(2, 2_000)])
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path):
    """The limit of a file's size stands for it: the same write fails."""
    path = tmp_path / "x.pftrace"
    done = written_by_process(path, "".join(lines([flow(1, 1_000)])), most_bytes=100)
    assert done.returncode == 2 and done.stderr == ""
    assert done.stdout.startswith(f"{path}: the trace of 0.0 MB could not be written: File too")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "".join(lines([flow(1, 1_000)])).splitlines()[0] + "\n"])
def test_a_node_that_ends_while_it_gives_flows_leaves_no_file(tmp_path, text):
    """Part of the observations would look like all of them."""
    done = written_by_process(tmp_path / "x.pftrace", text)
    assert done.returncode == 2 and "the node ended" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_without_the_library_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    """And no file is begun."""
    monkeypatch.setitem(sys.modules, "perfetto.protos.perfetto.trace", None)
    with pytest.raises(TraceError, match="python3 -m pip install perfetto"):
        perfetto_file.write_trace(tmp_path / "x.pftrace", [flow(1, 1_000)])
    assert list(tmp_path.iterdir()) == []
