"""Key files are written once, are readable by their owner only, read strictly and never shown."""

import pytest

from gr00t_ros.errors import SettingsError
from gr00t_ros.wire.curve import SecretKey, new_pair, read_client_keys, read_server_keys, write_pair


@pytest.fixture
def folder(tmp_path):
    """Keys of a server and of two robots."""
    place = tmp_path / "keys"
    for name in ("server", "r1", "r2"):
        assert write_pair(place, name, *new_pair())
    return place


def test_what_is_written_is_read_and_secret_files_are_their_owner_s(folder):
    """The folder too."""
    keys = read_server_keys(folder)
    assert sorted(keys.clients.values()) == ["r1", "r2"]
    client = read_client_keys(folder / "server.public", folder / "r1.secret")
    assert client.secret.reveal() == (folder / "r1.secret").read_text().strip()
    assert {p.name: p.stat().st_mode & 0o777 for p in folder.glob("*.secret")} == {
        f"{name}.secret": 0o600 for name in ("server", "r1", "r2")
    }
    assert folder.stat().st_mode & 0o777 == 0o700


def test_keys_that_are_there_are_kept(folder):
    """Robots out there have copies of them."""
    before = (folder / "r1.secret").read_text()
    assert not write_pair(folder, "r1", *new_pair())
    assert (folder / "r1.secret").read_text() == before


def test_half_a_pair_is_not_written_over(folder):
    """A lost public key is found again by nobody; a new secret key would lock the robot out."""
    (folder / "r1.public").unlink()
    with pytest.raises(SettingsError, match=r"r1\.secret"):
        write_pair(folder, "r1", *new_pair())


def test_no_secret_key_is_in_any_text(folder):
    """Repr of the key and of what holds it."""
    keys = read_server_keys(folder)
    client = read_client_keys(folder / "server.public", folder / "r1.secret")
    for shown in (repr(keys), str(client), f"{keys.secret}", repr([client])):
        assert keys.secret.reveal() not in shown and client.secret.reveal() not in shown


def test_a_secret_key_that_others_may_read_is_refused(folder):
    """With the command that puts it right."""
    (folder / "server.secret").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_server_keys(folder)


@pytest.mark.parametrize("content", ["", "x" * 39, "x" * 41, "\u00e9" * 40, " " * 40])
def test_what_is_no_key_is_refused_without_being_quoted(folder, content):
    """Neither as a secret nor as a public one."""
    for name in ("server.secret", "r1.public"):
        was = (folder / name).read_text()
        (folder / name).write_text(content)
        with pytest.raises(SettingsError, match=name.replace(".", r"\.")) as caught:
            read_server_keys(folder)
        assert not content.strip() or content not in str(caught.value)
        (folder / name).write_text(was)
    with pytest.raises(SettingsError) as caught:
        SecretKey("\u00e9" * 40)
    assert "\u00e9" not in str(caught.value)


def test_a_server_without_clients_or_with_two_names_for_one_key_is_refused(folder):
    """Nobody could connect; and who of the two would it be?"""
    (folder / "r2.public").write_text((folder / "r1.public").read_text())
    with pytest.raises(SettingsError, match="r1"):
        read_server_keys(folder)
    for name in ("r1", "r2"):
        (folder / f"{name}.public").unlink()
    with pytest.raises(SettingsError, match="nobody could connect"):
        read_server_keys(folder)


@pytest.mark.parametrize("name", ["", "../r1", "r 1", "-r", "a" * 64])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    """It would be written somewhere else."""
    with pytest.raises(SettingsError, match="letters, digits"):
        write_pair(tmp_path, name, *new_pair())
    assert list(tmp_path.iterdir()) == []
