"""/healthz and /metrics.

A page whose code raises is still served with status 200, and a server without a model too. So health is asked of what
matters: the page was built the last time that it was asked for, and the model answers a spectrum now.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from typing import Any

from panel.io.document import _cleanup_doc
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tornado.web import RequestHandler

from engine import ModelError, SurveyError
from gasnet_app.server.metrics import BROWSERS, REGISTRY, SESSIONS
from gasnet_app.worker import first_survey, shared_worker

log = logging.getLogger(__name__)

FRESH = 5.0  # seconds that an answer is kept: whoever asks often must not keep the engine busy
PATIENCE = 30.0  # seconds that the engine may take


class Health:
    """The health of one server; shared by its requests."""

    def __init__(self, server: Any) -> None:
        self._applications = [context.application for context in server._applications.values()]
        self._lock = asyncio.Lock()
        self._asked = -FRESH
        self._told: dict[str, Any] = {}
        self._built = False

    async def told(self) -> dict[str, Any]:
        """`status`, ok or failing; `model` and `seconds` of its answer, or `what` fails: page, model or engine."""
        async with self._lock:
            if time.monotonic() - self._asked >= FRESH:
                found = await self._look()
                if found["status"] != self._told.get("status", "ok"):
                    log.warning("health", extra={"status": found["status"], "what": found.get("what", "")})
                self._told, self._asked = found, time.monotonic()
            return self._told

    async def _look(self) -> dict[str, Any]:
        start = time.perf_counter()
        if self._page_fails():
            return {"status": "failing", "what": "page"}
        try:
            name = await asyncio.wait_for(shared_worker(first_survey()).alive(), PATIENCE)
        except (ModelError, SurveyError) as error:
            log.warning("no model answers: %s", error)
            return {"status": "failing", "what": "model"}
        except Exception:  # also a model that takes too long
            log.exception("the engine does not answer")
            return {"status": "failing", "what": "engine"}
        return {"status": "ok", "model": name, "seconds": round(time.perf_counter() - start, 3)}

    def _page_fails(self) -> bool:
        """Whether the page's code raised, the last time it ran; it is run here until it has once come to its end."""
        if not self._built:
            for application in self._applications:
                _cleanup_doc(application.create_document())
        fails = any(handler.failed for application in self._applications for handler in application.handlers)
        self._built = not fails
        return fails


class HealthHandler(RequestHandler):
    """GET /healthz: 200 while the app answers, else 503; one line of JSON."""

    async def get(self) -> None:
        """Answer a probe. It says what fails, not why: the log does."""
        health: Health = self.application.settings.setdefault("gasnet_health", Health(self.application))
        told = await health.told()
        self.set_status(200 if told["status"] == "ok" else 503)
        self.set_header("Cache-Control", "no-store")
        self.write(told)


class MetricsHandler(RequestHandler):
    """GET /metrics: for programs on this machine, unless opened. How many look at what is nobody else's business."""

    def initialize(self, everybody: bool) -> None:
        """everybody : answer other machines too"""
        self.everybody = everybody

    def get(self) -> None:
        """Answer in Prometheus' text format."""
        if not self.everybody and not from_here(self.request.remote_ip or "", dict(self.request.headers)):
            self.set_status(403)
            self.finish("metrics are for this machine; --open-metrics opens them\n")
            return
        server: Any = self.application
        SESSIONS.set(sum(len(server.get_sessions(path)) for path in server.app_paths))
        BROWSERS.set(len(server._clients))
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(generate_latest(REGISTRY))


def from_here(address: str, headers: dict[str, str]) -> bool:
    """Whether a request came from a program on this machine, and not through a proxy on it."""
    if any(name.lower() in ("x-forwarded-for", "x-real-ip", "forwarded", "via") for name in headers):
        return False
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
