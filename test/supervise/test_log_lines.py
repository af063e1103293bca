"""A server's output becomes lines for a log, however the bytes are split."""

from hypothesis import given
from hypothesis import strategies as st

from gr00t_ros.supervise.watched_server import MAX_CHARACTERS, LogLines, clean

LINES = st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1))


@given(LINES, st.lists(st.integers(0, 200), max_size=20))
def test_the_lines_do_not_depend_on_where_the_stream_is_cut(lines, cuts):
    """A pipe hands over any number of bytes at a time."""
    stream = "".join(f"{line}\r\n" if i % 2 else f"{line}\n" for i, line in enumerate(lines))
    data, got, log = stream.encode(), [], LogLines()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in zip(places, places[1:], strict=False):
        got += log.feed(data[start:end], 0)
    assert got + log.flush() == lines


def test_a_progress_bar_is_one_line_a_second():
    """Loading a checkpoint rewrites its line many times a second."""
    log, got = LogLines(), []
    for i in range(30):
        got += log.feed(f"Loading {i}\r".encode(), i * 100_000_000)
    assert got == ["Loading 0", "Loading 10", "Loading 20"]
    assert log.feed(b"\nready\n", 0)[-1] == "ready"


def test_what_is_no_text_becomes_printable_and_short():
    """Terminal escapes go, other bytes are shown as replaced, long lines are cut."""
    assert clean(b"\x1b[1;32mok\x1b[0m\t\xff\x07") == "ok  \ufffd\ufffd"
    assert len(clean(b"x" * 10_000)) == MAX_CHARACTERS
    assert LogLines().feed(b"\n\n  \n", 0) == []


def test_a_line_without_end_is_let_out_before_it_fills_the_memory():
    """And the last words of a server that crashed count as a line."""
    log = LogLines(keep=2)
    assert len(log.feed(b"x" * 100_000, 0)) == 1
    log.feed(b"a\nb\nTraceback", 0)
    assert log.flush() == ["Traceback"]
    assert list(log.last) == ["b", "Traceback"]
