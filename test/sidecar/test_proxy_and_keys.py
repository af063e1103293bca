"""gr00t sidecar proxy and keys as processes: their options, their output, and their end."""

import resource
import signal

import pytest

from gr00t_ros.sidecar.__main__ import main
from gr00t_ros.wire.curve import read_client_keys, read_server_keys


def test_keys_makes_what_is_missing_and_shows_no_key(ask, tmp_path):
    """A second run adds a robot and keeps the others."""
    folder = tmp_path / "keys"
    status, out, _ = ask("keys", str(folder), "r1")
    assert status == 0 and list(read_server_keys(folder).clients.values()) == ["r1"]
    before = (folder / "server.secret").read_text()
    status, again, _ = ask("keys", str(folder), "r1", "r2")
    assert status == 0 and len(read_server_keys(folder).clients) == 2
    assert (folder / "server.secret").read_text() == before
    for path in folder.iterdir():
        assert path.read_text().strip() not in out + again


def test_keys_says_what_it_cannot_write(ask, tmp_path):
    """One line, status 2."""
    (tmp_path / "file").write_text("")
    status, _, err = ask("keys", str(tmp_path / "file"))
    assert status == 2 and "file" in err and err.count("\n") == 1


def test_the_questions_go_through_the_proxy_with_keys_and_a_token(
    start_sidecar, ask_json, keys, tmp_path
):
    """The whole way, three processes: check fits, the log has names and no secret."""
    token = tmp_path / "token"
    token.write_text("s3cret-t0ken\n")
    token.chmod(0o600)
    server = start_sidecar("hold", "--embodiment", "franka_droid", "--port", "0")
    upstream = server.address.removeprefix("tcp://")
    guard = ("--keys", str(keys), "--token-file", str(token))
    proxy = start_sidecar("proxy", "--upstream", upstream, "--listen", "127.0.0.1:0", *guard)
    curve = ("--server-key", f"{keys}/server.public", "--client-key", f"{keys}/r1.secret")
    where = ("--server", f"127.0.0.1:{proxy.port}", "--token-file", str(token))
    status, found = ask_json("check", "--embodiment", "franka_droid", *where, *curve)
    assert (status, found["verdict"]) == (0, "fits")
    status, found = ask_json("ping", *where)
    # Refused, or closed by the proxy before its greeting was read: either is no way in.
    assert (status, found["kind"]) in ((1, "RefusedError"), (2, "UnreachableError"))
    assert "give this client keys" in found["problem"]
    status, log = proxy.end(signal.SIGTERM)
    assert status == 0 and "CURVE for r1, r2, a token" in log and "Traceback" not in log
    assert "s3cret" not in log + server.end(signal.SIGTERM)[1]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--listen", "0.0.0.0:0"), "expected --keys"),
        (("--listen", "256.1.1.1:0", "--token-file", "/dev/null"), "api token"),
        (("--keys", "/no/such/folder"), "server.secret"),
        (("--listen", "127.0.0.1:99999"), "a port from 0 to 65535"),
        (("--listen", "nowhere"), "HOST:PORT"),
        (("--listen", "256.1.1.1:5", "--keys", "KEYS"), "cannot serve"),
        (("--endpoint", "kill"), "kill"),
        (("--max-wait-ms", "0"), "--max-wait-ms: got 0, expected 1 to 600000"),
        (("--rate-hz", "nan"), "--rate-hz: got nan, expected 0.001 to 1e+06"),
        (("--rate-hz", "1e30"), "--rate-hz: got 1e+30"),
        (("--burst", "-1"), "--burst: got -1, expected 1 to 1e+06"),
        (("--max-request-mib", "nan"), "--max-request-mib: got nan"),
        (("--max-request-mib", "1e30"), "--max-request-mib: got 1e+30"),
        (("--deadline-ms", "999999999999"), "--deadline-ms: got 1e+12"),
        (("--batch", "65", "--wait-ms", "0"), "--batch: got 65, expected 1 to 64"),
        (("--receive-ms", "0"), "--receive-ms: got 0, expected 1000"),
        (("--token-file", "SHARED"), "chmod 600"),
        (("--upstream-token-file", "SHARED"), "chmod 600"),
    ],
)
def test_what_the_proxy_cannot_start_with_is_one_line_and_status_two(
    start_sidecar, keys, tmp_path, words, text
):
    """In particular: no door open to other machines without a guard, no number without a sense."""
    shared = tmp_path / "shared"
    shared.write_text("s3cret-t0ken\n")
    shared.chmod(0o640)
    named = {"KEYS": str(keys), "SHARED": str(shared)}
    words = [named.get(word, word) for word in words]
    proxy = start_sidecar("proxy", "--upstream", "127.0.0.1:1", *words)
    status, log = proxy.wait()
    assert (proxy.ready, status) == ("", 2)
    assert text in log and log.count("\n") == 1 and "s3cret" not in log


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--listen", "0.0.0.0:0"), "expected --keys"),
        (("--batch", "257"), "--batch: got 257, expected 1 to 256"),
        (("--max-request-mib", "nan"), "--max-request-mib: got nan"),
    ],
)
def test_the_pool_takes_its_options_as_the_proxy_does(start_sidecar, monkeypatch, words, text):
    """A token in the environment is for a policy server: it opens no door."""
    monkeypatch.setenv("GR00T_API_TOKEN", "s3cret-t0ken")
    pool = start_sidecar("pool", "--policy", "hold", "--embodiment", "franka_droid", *words)
    status, log = pool.wait()
    assert (pool.ready, status) == ("", 2)
    assert text in log and log.count("\n") == 1 and "s3cret" not in log


def test_one_key_alone_is_wrong_usage(ask, keys):
    """It would silently connect without encryption."""
    status, _, err = ask("ping", "--server-key", f"{keys}/server.public")
    assert status == 2 and "both or neither" in err


def test_a_server_of_ours_takes_keys_too(start_sidecar, ask, keys):
    """CURVE end to end, no proxy."""
    server = start_sidecar(
        "hold", "--embodiment", "franka_droid", "--port", "0", "--keys", str(keys)
    )
    curve = ("--server-key", f"{keys}/server.public", "--client-key", f"{keys}/r2.secret")
    assert ask("ping", "--server", f"127.0.0.1:{server.port}", *curve)[0] == 0
    assert read_client_keys(curve[1], curve[3])


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_without_a_verb_all_verbs_are_listed(words, capsys):
    """With one line each."""
    assert main(words) == (0 if words else 2)
    said = capsys.readouterr()
    out = said.out if words else said.err
    for verb in (
        "ping",
        "check",
        "bench",
        "infer",
        "describe",
        "proxy",
        "keys",
        "replay",
        "faulty",
    ):
        assert f"\n  {verb} " in out


def test_the_proxy_may_hold_as_many_connections_as_the_system_allows(start_sidecar):
    """A shell's soft limit of 1024 would let few strangers shut everybody out."""
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    words = ("--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0")
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, most))
    try:
        proxy = start_sidecar("proxy", *words)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))
    assert resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE) == (most, most)


def test_a_check_goes_through_compress_and_restore_with_keys(start_sidecar, ask_json, keys):
    """Four processes: the robot has a plain server beside it, and the network has CURVE."""
    server = start_sidecar("hold", "--embodiment", "franka_droid", "--port", "0")
    upstream = server.address.removeprefix("tcp://")
    words = ("--upstream", upstream, "--listen", "127.0.0.1:0", "--keys", str(keys))
    restore = start_sidecar("restore", *words)
    words = ("--upstream", f"127.0.0.1:{restore.port}", "--listen", "127.0.0.1:0")
    own = ("--server-key", f"{keys}/server.public", "--client-key", f"{keys}/r1.secret")
    compress = start_sidecar("compress", *words, *own, "--quality", "80")
    where = ("--server", f"127.0.0.1:{compress.port}")
    status, found = ask_json("check", "--embodiment", "franka_droid", *where)
    assert (status, found["verdict"]) == (0, "fits")
    for process, text in ((compress, "error of"), (restore, "times less")):
        status, log = process.end(signal.SIGTERM)
        assert status == 0 and text in log and "Traceback" not in log


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--quality", "0"), "quality: got 0, expected 1 to 100"),
        (("--batch", "8"), "--batch: got 8, expected none: compress serves one robot"),
        (("--server-key", "FILE"), "expected both or neither"),
        (("--server-key", "/no", "--client-key", "/no"), "/no"),
    ],
)
def test_what_compress_cannot_start_with_is_one_line_and_status_two(caplog, words, text):
    """As for the proxy."""
    assert main(["compress", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0", *words]) == 2
    assert text in caplog.text and "Traceback" not in caplog.text
