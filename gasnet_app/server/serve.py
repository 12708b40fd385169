"""`panel serve` with health, metrics, logs and a login page."""

from __future__ import annotations

import argparse
import json
import logging
import time
from pathlib import Path
from typing import Any

import panel as pn
from bokeh.application.application import SessionContext
from panel.command.serve import Serve
from prometheus_client import disable_created_metrics

from gasnet_app.server import logs
from gasnet_app.server.metrics import SESSIONS_OPENED

log = logging.getLogger(__name__)

LOGIN = Path(__file__).with_name("login.html")  # Panel's own asks another host for its icon


class AppServer(Serve):
    """Panel's server with our routes, whose sessions are logged."""

    def customize_kwargs(self, args: argparse.Namespace, server_kwargs: dict[str, Any]) -> dict[str, Any]:
        """The server's settings."""
        from gasnet_app.server.health import HealthHandler, MetricsHandler  # loads torch, which is not for --help

        if args.basic_auth:
            args.basic_login_template = str(LOGIN)
        kwargs: dict[str, Any] = super().customize_kwargs(args, server_kwargs)
        if args.basic_auth:
            # Panel reads the file at each login, and takes its path for the password once the file is gone.
            pn.config.basic_auth = json.loads(Path(args.basic_auth).read_text(encoding="utf-8"))
        kwargs["extra_patterns"] += [
            ("/healthz", HealthHandler, {}), ("/metrics", MetricsHandler, {"everybody": args.open_metrics})
        ]  # fmt: skip
        kwargs["log_function"] = logs.note_request
        return kwargs


def main(argv: list[str] | None = None) -> None:
    """Serve until a signal comes. argv: FOLDER and options; else those of the command line."""
    parser = argparse.ArgumentParser(prog="python -m gasnet_app.server")
    server = AppServer(parser=parser)
    parser.add_argument("--log-lines", action="store_true", help="Log lines of JSON")
    parser.add_argument("--open-metrics", action="store_true", help="Answer /metrics to other machines too")
    args = parser.parse_args(argv)
    logs.configure(args.log_lines)
    disable_created_metrics()
    pn.state.on_session_created(_opened)
    pn.state.on_session_destroyed(_closed)
    server.invoke(args)


_since: dict[str, float] = {}


def _opened(context: SessionContext) -> None:
    SESSIONS_OPENED.inc()
    _since[str(context.id)] = time.monotonic()
    log.info("session opened", extra={"session": logs.mark(str(context.id))})


def _closed(context: SessionContext) -> None:
    seconds = time.monotonic() - _since.pop(str(context.id), time.monotonic())
    log.info("session closed", extra={"session": logs.mark(str(context.id)), "seconds": round(seconds)})
