"""Logs as lines of JSON: who asked (a session's short mark), which objects, how long; never what a file holds.

A session's own id would let a reader of the log into the session, so its digest stands for it. Addresses, queries,
paths and contents of files are not written.
"""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from typing import Any

import panel as pn
from pythonjsonlogger.json import JsonFormatter
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError

from gasnet_app.server.metrics import REQUEST_SECONDS, REQUESTS

access = logging.getLogger("gasnet_app.access")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")  # what a proxy may have given; anything else is replaced
_ROUTES = {"": "root", "gasnet_app": "page", "healthz": "healthz", "metrics": "metrics", "login": "login"}


def mark(session_id: str) -> str:
    """Eight characters that stand for a session in the log."""
    return hashlib.sha256(session_id.encode()).hexdigest()[:8]


class SessionMark(logging.Filter):
    """Puts the session whose turn it is on every record written in its course."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add `session`, where there is one."""
        context = getattr(pn.state.curdoc, "session_context", None)
        if context is not None and not hasattr(record, "session"):
            record.session = mark(str(context.id))
        return True


class Departures(logging.Filter):
    """A browser that leaves while a message is on its way is no error, though asyncio calls it one."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Leave such records out."""
        return not (record.exc_info and isinstance(record.exc_info[1], WebSocketClosedError))


def configure(lines: bool) -> None:
    """Send the process's log to stderr: lines of JSON, or text for people."""
    handler = logging.StreamHandler()
    handler.addFilter(SessionMark())
    handler.setFormatter(
        JsonFormatter(["levelname", "name", "message"], rename_fields={"levelname": "level", "name": "logger"},
                      timestamp="time")
        if lines
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    )  # fmt: skip
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("gasnet_app").setLevel(logging.INFO if lines else logging.WARNING)
    logging.getLogger("asyncio").addFilter(Departures())
    # Their lines about each connection say less than ours about each session; a browser that leaves is no warning.
    logging.getLogger("bokeh.server.connection").setLevel(logging.WARNING)
    logging.getLogger("bokeh.server.views.ws").setLevel(logging.ERROR)


def note_request(handler: RequestHandler) -> None:
    """Count a finished request, and write its line; of scripts and pictures only when they failed."""
    request, status = handler.request, handler.get_status()
    route = route_of(request.path)
    REQUESTS.labels(route, status).inc()
    if route != "socket":
        REQUEST_SECONDS.labels(route).observe(request.request_time())
    if status >= 500 or route in ("page", "login", "socket"):
        given = request.headers.get("X-Request-ID", "")
        known: dict[str, Any] = {
            "request": given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex[:12],
            "method": request.method, "route": route, "status": status, "ms": round(1000 * request.request_time(), 1),
        }  # fmt: skip
        level = logging.ERROR if status >= 500 else logging.INFO
        access.log(level, "request", extra=known)


def route_of(path: str) -> str:
    """What a path asks for, as one of few words: a path itself would be a label without bounds."""
    parts = path.strip("/").split("/")
    if parts[-1] == "ws":
        return "socket"
    if parts[0] == "static" or "static" in parts[1:2]:
        return "static"
    return _ROUTES.get(parts[0], "other") if len(parts) == 1 else "other"
