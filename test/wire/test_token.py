"""token: it is read from a private file or the environment, and never shown."""

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.access import MAX_LENGTH, Token, read_token


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_file_wins_over_the_environment(tmp_path, ending):
    """One line end at the end is the editor's, not the token's."""
    path = tmp_path / "token"
    path.write_bytes(b"from-file" + ending.encode())
    path.chmod(0o600)
    assert read_token(path, {"GR00T_API_TOKEN": "other"}).reveal() == "from-file"


def test_the_environment_is_used_without_a_file():
    """GR00T_API_TOKEN; an empty one is none."""
    assert read_token(None, {"GR00T_API_TOKEN": "abc"}).reveal() == "abc"
    assert read_token("", {"GR00T_API_TOKEN": ""}) is None
    assert read_token(None, {}) is None


@pytest.mark.parametrize("text", ["", "\n", "two words", "a\nb", "qz\t", "x" * (MAX_LENGTH + 1)])
def test_a_file_without_a_token_is_refused_without_quoting_it(tmp_path, text):
    """An empty file must not mean: no token."""
    path = tmp_path / "token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(SettingsError) as error:
        read_token(path, {})
    assert not text.strip() or text.strip() not in str(error.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    """Missing, or not text."""
    with pytest.raises(SettingsError, match="nothing-here"):
        read_token(tmp_path / "nothing-here", {})
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "binary").chmod(0o600)
    with pytest.raises(SettingsError, match="UTF-8"):
        read_token(tmp_path / "binary", {})


def test_no_way_of_printing_shows_the_secret():
    """Tracebacks and logs print objects."""
    token = Token("s3cret")
    shown = f"{token} {token!r} {[token]} %s" % token
    assert "s3cret" not in shown
    assert token.redact("bad token s3cret!") == "bad token <api token>!"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_can_use_is_refused_with_what_to_do(tmp_path, mode):
    """A token that everybody on the machine reads admits everybody on the machine."""
    path = tmp_path / "token"
    path.write_text("s3cret")
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"mode {mode:03o}.*chmod 600 .*token") as error:
        read_token(path, {})
    assert "s3cret" not in str(error.value)
    path.chmod(0o400)
    assert read_token(path, {}).reveal() == "s3cret"
