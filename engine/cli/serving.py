"""The command that opens the screen to browsers: serve."""

from __future__ import annotations

import importlib.util
import ipaddress
import json
import os
import re
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from engine.cli.finding import DataOption
from engine.cli.terminal import app, say
from engine.survey import SurveyError

MESSAGE_BYTES = 20 * 1024**2  # the browser sends files in pieces of 10 MB
KEEP_ALIVE = 25_000  # milliseconds between two pings: proxies cut what is silent for a minute, some for thirty seconds
UNUSED_LIFE = 300_000  # milliseconds a session waits for a browser whose connection broke
UNUSED_CHECK = 15_000  # milliseconds between two looks for such sessions
LOOPBACK = ("localhost", "127.0.0.1")


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5006,
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = LOOPBACK[1],
    origin: Annotated[
        list[str] | None,
        typer.Option("--origin", help="HOST[:PORT] as it stands in the browser's address bar; may be repeated."),
    ] = None,
    login_file: Annotated[
        Path | None,
        typer.Option(
            "--login-file", exists=True, dir_okay=False, help='JSON of {"name": "password"}: who may come in.'
        ),
    ] = None,
    behind_proxy: Annotated[
        bool, typer.Option("--behind-proxy", help="A proxy on this machine sets X-Real-IP and X-Scheme: believe it.")
    ] = False,
    logs: Annotated[str, typer.Option("--log", help="text or json: lines for people or for programs.")] = "",
    open_metrics: Annotated[
        bool, typer.Option("--open-metrics", help="Answer /metrics to other machines too, not to this one alone.")
    ] = False,
    data_dir: DataOption = None,
) -> None:
    """Open the app for browsers, on this machine only unless told otherwise: http://localhost:5006/gasnet_app."""
    folder = _app_folder()
    alone = _is_loopback(address)
    allowed = _origins(address, port, alone, origin or [])
    command = [sys.executable, "-m", "gasnet_app.server", folder, "--address", address, "--port", str(port)]
    command += [f"--allow-websocket-origin={host}" for host in allowed]
    # One process, because the engine, its queue and its memory are shared by all sessions; and never --num-threads,
    # with which sessions would draw in threads of their own while the views count on one event loop.
    command += ["--num-procs", "1", "--session-ids", "signed", "--websocket-max-message-size", str(MESSAGE_BYTES),
                "--keep-alive", str(KEEP_ALIVE), "--unused-session-lifetime", str(UNUSED_LIFE),
                "--check-unused-sessions", str(UNUSED_CHECK)]  # fmt: skip
    # Secrets go by the environment: command lines are read by everybody on the machine.
    settings = {"BOKEH_SECRET_KEY": secrets.token_urlsafe(32)}
    if logs not in ("", "text", "json"):
        raise typer.BadParameter(f"{logs}: say text or json", param_hint="--log")
    if logs == "json" or (not logs and not sys.stderr.isatty()):
        command.append("--log-lines")
    if open_metrics:
        command.append("--open-metrics")
    if behind_proxy:
        command.append("--use-xheaders")
    if login_file is not None:
        _check_logins(login_file)
        command += ["--basic-auth", str(login_file.resolve())]
        settings["PANEL_COOKIE_SECRET"] = secrets.token_urlsafe(32)
    elif not alone:
        say(f"everybody who reaches {address}:{port} may use the app; --login-file asks for a name and a password")
    if data_dir is not None:
        os.environ["GASNET_DATA"] = str(data_dir.resolve())
    os.environ.pop("PANEL_NUM_THREADS", None)
    # In this process's place, not below it: a signal to stop must reach the server, and nothing must outlive it.
    os.execve(sys.executable, command, {**settings, **os.environ})


def _app_folder() -> str:
    spec = importlib.util.find_spec("gasnet_app")
    if spec is None or not spec.submodule_search_locations:
        raise SurveyError("the package gasnet_app is not installed; run `pip install -e .` in the project folder")
    return spec.submodule_search_locations[0]


def _origins(address: str, port: int, alone: bool, given: list[str]) -> list[str]:
    """Whose pages may talk to the server: those named; on this machine alone, by either of its names."""
    for host in given:
        if not re.fullmatch(r"[A-Za-z0-9_.-]+(:\d{1,5})?|\[[0-9A-Fa-f:]+\](:\d{1,5})?", host):
            raise typer.BadParameter(
                f"{host}: say HOST or HOST:PORT, without https:// and without a path", param_hint="--origin"
            )
    if given:
        return given
    if alone:
        return [f"{host}:{port}" for host in LOOPBACK]
    if ipaddress.ip_address(address).is_unspecified:
        raise typer.BadParameter(
            f"with --address {address}, say by which name browsers come: --origin HOST:{port}", param_hint="--origin"
        )
    return [f"[{address}]:{port}" if ":" in address else f"{address}:{port}"]


def _is_loopback(address: str) -> bool:
    try:
        return address == LOOPBACK[0] or ipaddress.ip_address(address).is_loopback
    except ValueError as error:
        raise typer.BadParameter(
            f"{address}: say a number such as 127.0.0.1 or 0.0.0.0; names go to --origin", param_hint="--address"
        ) from error


def _check_logins(path: Path) -> None:
    """Raises BadParameter for a file that would let nobody in, or that others can read."""
    try:
        logins = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise typer.BadParameter(f"{path}: not JSON ({error})", param_hint="--login-file") from error
    if not isinstance(logins, dict) or not logins or not all(isinstance(p, str) and p for p in logins.values()):
        raise typer.BadParameter(f'{path}: write {{"name": "password", ...}}, none empty', param_hint="--login-file")
    if path.stat().st_mode & 0o077:
        say(f"{path} can be read by others on this machine: chmod 600 {path}")
