"""`gasnet serve`: what it starts, with which limits, for whom, and what it refuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine import cli
from engine.cli import serving

Started = tuple[list[str], dict[str, str]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Started]:
    """Run `gasnet serve` as the shell does, up to the server: its command line and its environment."""

    def command(*arguments: object) -> Started:
        started: list[Started] = []

        def execve(_path: str, line: list[str], environment: dict[str, str]) -> None:
            started.append((line, environment))
            raise SystemExit(0)

        monkeypatch.setattr(os, "execve", execve)
        monkeypatch.setattr(sys, "argv", ["gasnet", "serve", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 0
        return started[0]

    return command


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run it where it must not start: what it says."""

    def command(*arguments: object) -> str:
        monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("it started"))
        monkeypatch.setattr(sys, "argv", ["gasnet", "serve", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (1, 2)
        return " ".join(capsys.readouterr().err.replace("│", " ").split())

    return command


@pytest.fixture
def logins(tmp_path: Path) -> Path:
    path = tmp_path / "logins.json"
    path.write_text('{"ana": "long and secret"}')
    path.chmod(0o600)
    return path


def value(line: list[str], option: str) -> str:
    return line[line.index(option) + 1]


def origins(line: list[str]) -> list[str]:
    return [word.split("=")[1] for word in line if word.startswith("--allow-websocket-origin=")]


def test_the_app_opens_on_this_machine_only_by_either_of_its_names(serve):
    line, _ = serve("--port", 5999)
    assert Path(serving.__file__).parents[2] / "gasnet_app" in map(Path, line)
    assert (value(line, "--address"), value(line, "--port")) == ("127.0.0.1", "5999")
    assert origins(line) == ["localhost:5999", "127.0.0.1:5999"]


def test_one_process_no_threads_and_limits_on_messages_and_idle_sessions(serve, monkeypatch):
    monkeypatch.setenv("PANEL_NUM_THREADS", "4")
    line, environment = serve()
    assert value(line, "--num-procs") == "1"
    assert "--num-threads" not in line
    assert "PANEL_NUM_THREADS" not in environment
    assert int(value(line, "--websocket-max-message-size")) == 20 * 1024**2
    assert int(value(line, "--check-unused-sessions")) < int(value(line, "--unused-session-lifetime"))
    assert int(value(line, "--keep-alive")) < 30_000


def test_other_machines_come_by_the_names_that_were_said(serve, refused, capsys):
    line, _ = serve("--address", "0.0.0.0", "--origin", "spectra.example.org", "--origin", "gate:8443")
    assert value(line, "--address") == "0.0.0.0"
    assert origins(line) == ["spectra.example.org", "gate:8443"]
    assert "--login-file asks for a name" in capsys.readouterr().err
    assert origins(serve("--address", "192.0.2.7")[0]) == ["192.0.2.7:5006"]
    assert "--origin HOST:5006" in refused("--address", "0.0.0.0")


@pytest.mark.parametrize("wrong", ["https://spectra.example.org", "*", "host/path", "host:port"])
def test_an_origin_that_is_none_is_refused_in_words(refused, wrong: str):
    assert "say HOST or HOST:PORT" in refused("--origin", wrong)


def test_an_address_is_a_number(refused):
    assert "spectra.example.org: say a number such as 127.0.0.1" in refused("--address", "spectra.example.org")


def test_secrets_are_fresh_at_each_start_unless_set_and_never_on_the_command_line(serve, monkeypatch, logins):
    names = ("BOKEH_SECRET_KEY", "PANEL_COOKIE_SECRET")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    (line, one), (_, two) = serve("--login-file", logins), serve("--login-file", logins)
    assert value(line, "--basic-auth") == str(logins)
    for name in names:
        assert len(one[name]) > 30
        assert one[name] != two[name]
        assert one[name] not in " ".join(line)
        monkeypatch.setenv(name, "mine")
        assert serve("--login-file", logins)[1][name] == "mine"
    assert "long and secret" not in " ".join(line)


@pytest.mark.parametrize("text", ["ana: secret", "{}", '["ana"]', '{"ana": ""}', '{"ana": 1}'])
def test_a_login_file_that_would_let_nobody_or_anybody_in_is_refused(refused, logins, text: str):
    logins.write_text(text)
    assert "logins.json" in refused("--login-file", logins)


def test_a_login_file_that_others_can_read_is_told(serve, logins, capsys):
    serve("--login-file", logins)
    assert "chmod" not in capsys.readouterr().err
    logins.chmod(0o644)
    serve("--login-file", logins)
    assert f"chmod 600 {logins}" in capsys.readouterr().err


def test_without_the_app_it_says_what_to_install(refused, monkeypatch):
    monkeypatch.setattr(serving.importlib.util, "find_spec", lambda name: None)
    assert "gasnet_app is not installed; run `pip install -e .`" in refused()


def test_the_page_gets_the_data_folder_by_its_whole_path(serve, monkeypatch, tmp_path):
    monkeypatch.setenv("GASNET_DATA", "")  # put back at the end
    monkeypatch.chdir(tmp_path)
    _, environment = serve("--data-dir", "mirror")
    assert environment["GASNET_DATA"] == str(tmp_path / "mirror")
