"""The demo's --watch: how the page's address reaches a browser."""

from gr00t_ros.demo import page

ADDRESS = "http://127.0.0.1:8780/?token=abc-DEF_1"


def test_the_token_is_in_no_list_of_processes(tmp_path, monkeypatch, capsys):
    """Other users see a browser's arguments: it gets a file that only its owner can read."""
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(page.webbrowser, "open", opened.append)
    page.show(ADDRESS, tmp_path)
    (file,) = tmp_path.iterdir()
    assert opened == [file.as_uri()] and file.stat().st_mode & 0o077 == 0
    assert ADDRESS in file.read_text() and ADDRESS in capsys.readouterr().out
