"""What stands around the page on a server: health that means it, metrics for this machine, logs without secrets."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bokeh.application import Application
from bokeh.server.tornado import BokehTornado
from panel.io.handlers import PanelCodeHandler
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.websocket import WebSocketClosedError

from engine import ModelError
from gasnet_app.server import health, logs
from gasnet_app.server.health import HealthHandler, MetricsHandler, from_here
from gasnet_app.server.metrics import REGISTRY
from gasnet_app.worker import Worker

ROOT = Path(__file__).resolve().parents[1]
Ask = Callable[..., HTTPResponse]


class FakeWorker:
    """Answers, or fails as it is told."""

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.asked = 0

    async def alive(self) -> str:
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        return "a-model"


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> FakeWorker:
    worker = FakeWorker()
    monkeypatch.setattr(health, "shared_worker", lambda _survey: worker)
    monkeypatch.setattr(health, "FRESH", 0.0)
    return worker


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> PanelCodeHandler:
    """A page whose code fails while $PAGE_FAILS is set."""
    monkeypatch.delenv("PAGE_FAILS", raising=False)
    source = "import os\nassert not os.environ.get('PAGE_FAILS'), 'page'\n"
    return PanelCodeHandler(source=source, filename="page.py")


def ask_all(page: PanelCodeHandler, *asked: str | Callable[[], None], **headers: str) -> list[HTTPResponse]:
    """Answers of a server with that page to paths, in turn; a function between them is called."""

    async def run() -> list[HTTPResponse]:
        routes = [("/healthz", HealthHandler, {}), ("/metrics", MetricsHandler, {"everybody": False})]
        app = BokehTornado(
            {"/p": Application(page)}, extra_patterns=routes, log_function=logs.note_request,
            extra_websocket_origins=[], use_index=False,
        )  # fmt: skip
        app.initialize(None)
        socket, port = bind_unused_port()
        server = HTTPServer(app)
        server.add_socket(socket)
        answers = []
        for one in asked:
            if callable(one):
                one()
            else:
                answers.append(
                    await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}{one}", raise_error=False, headers=headers)
                )
        server.stop()
        await server.close_all_connections()
        return answers

    return asyncio.run(run())


def told(answer: HTTPResponse) -> tuple[int, str, str]:
    body = json.loads(answer.body)
    return answer.code, body["status"], body.get("what", body.get("model"))


def test_health_is_ok_when_the_page_is_built_and_the_model_answers(worker, page):
    assert [told(a) for a in ask_all(page, "/healthz")] == [(200, "ok", "a-model")]


def test_a_page_whose_code_raises_fails_though_it_is_served_and_recovers_with_it(worker, page, monkeypatch):
    monkeypatch.setenv("PAGE_FAILS", "1")
    answers = ask_all(page, "/p", "/healthz", lambda: monkeypatch.delenv("PAGE_FAILS"), "/healthz")
    assert answers[0].code == 200, "which is why a status of the page says nothing"
    assert [told(a) for a in answers[1:]] == [(503, "failing", "page"), (200, "ok", "a-model")]


@pytest.mark.parametrize(
    ("fault", "what"), [(ModelError("models/x: gone"), "model"), (RuntimeError("out of memory"), "engine")]
)
def test_a_model_that_does_not_answer_fails_and_recovers_without_telling_paths(worker, page, fault, what):
    worker.fault = fault
    first, second = ask_all(page, "/healthz", lambda: setattr(worker, "fault", None), "/healthz")
    assert told(first) == (503, "failing", what)
    assert b"gone" not in first.body
    assert told(second) == (200, "ok", "a-model")


def test_who_asks_often_does_not_keep_the_engine_busy(worker, page, monkeypatch):
    monkeypatch.setattr(health, "FRESH", 1000.0)
    answers = ask_all(page, *["/healthz"] * 5)
    assert {told(a) for a in answers} == {(200, "ok", "a-model")}
    assert worker.asked == 1


def test_a_worker_is_alive_when_its_model_answers_with_numbers():
    assert asyncio.run(Worker("sdss").alive()).startswith("sdss-")

    def gone(_survey: str) -> Any:
        raise ModelError("gone")

    with pytest.raises(ModelError, match="gone"):
        asyncio.run(Worker("sdss", load=gone).alive())


def test_metrics_count_requests_sessions_and_questions_in_prometheus_format(worker, page):
    text = ask_all(page, "/healthz", "/metrics")[1].body.decode()
    for series in ('gasnet_http_requests_total{route="healthz",status="200"}', "gasnet_sessions 0.0",
                   "gasnet_queue_length 0.0", "process_resident_memory_bytes", "gasnet_browsers 0.0",
                   'gasnet_http_request_seconds_bucket{le="0.1",route="healthz"}'):  # fmt: skip
        assert series in text


def test_metrics_are_for_this_machine_and_not_for_who_comes_through_a_proxy_on_it(worker, page):
    assert ask_all(page, "/metrics", **{"X-Forwarded-For": "203.0.113.9"})[0].code == 403
    assert from_here("127.0.0.1", {})
    assert from_here("::1", {})
    assert not from_here("203.0.113.9", {})
    assert not from_here("", {})


def test_a_question_is_counted_when_it_is_answered():
    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    before = count("gasnet_answer_seconds_count", question="health"), count("gasnet_wait_seconds_count")
    asyncio.run(Worker("sdss").alive())
    assert count("gasnet_answer_seconds_count", question="health") > before[0]
    assert count("gasnet_wait_seconds_count") > before[1]
    assert count("gasnet_queue_length") == 0


@pytest.mark.parametrize(
    ("path", "route"),
    [("/gasnet_app", "page"), ("/prefix/gasnet_app/ws", "socket"), ("/static/js/x.js", "static"),
     ("/healthz", "healthz"),
     ("/gasnet_app/static/x", "static"), ("/anything/a/user/may/type", "other"), ("/x.php", "other"), ("/", "root")],
)  # fmt: skip
def test_a_route_is_one_of_few_words(path: str, route: str):
    assert logs.route_of(path) == route


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the log says since it was configured, as lines of JSON."""
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    levels = {name: logging.getLogger(name).level for name in ("", "gasnet_app", "bokeh.server.connection")}
    logs.configure(lines=True)
    stream = io.StringIO()
    (handler,) = (h for h in root.handlers if h not in before)
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:] = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_tells_route_status_and_request_and_neither_query_nor_address(worker, page, lines):
    ask_all(page, "/login?secret=1", **{"X-Request-ID": "from-the-proxy-7"})
    (line,) = [line for line in lines() if line["logger"] == "gasnet_app.access"]
    assert (line["request"], line["route"], line["status"], line["level"]) == ("from-the-proxy-7", "login", 404, "INFO")
    assert "secret" not in json.dumps(line)
    assert "127.0.0.1" not in json.dumps(line)


def test_a_request_id_that_would_spoil_the_log_is_replaced(worker, page, lines):
    ask_all(page, "/login", **{"X-Request-ID": 'a"} {"level": "forged'})
    (line,) = [line for line in lines() if line["logger"] == "gasnet_app.access"]
    assert len(line["request"]) == 12


def test_a_traceback_is_one_line_and_a_browser_that_left_is_none(lines):
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("gasnet_app.state").exception("prediction failed")
    try:
        raise WebSocketClosedError
    except WebSocketClosedError as error:
        logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=error)
    (line,) = lines()
    assert (line["message"], line["level"]) == ("prediction failed", "ERROR")
    assert "ValueError: two\nlines" in line["exc_info"]


def test_a_sessions_mark_does_not_open_the_session():
    assert logs.mark("abc") == logs.mark("abc") != logs.mark("abd")
    assert "abc" not in logs.mark("abc")


# ---- the real thing --------------------------------------------------------------------------------------------------


@contextmanager
def running(tmp_path: Path, **settings: str) -> Iterator[tuple[str, subprocess.Popen[bytes], Path]]:
    """`gasnet serve`, its address and its log (Bokeh prints a word of farewell on stdout, which is not the log)."""
    socket, port = bind_unused_port()
    socket.close()
    log = tmp_path / "log.txt"
    environment = {**os.environ, "GASNET_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1", **settings}
    command = [sys.executable, "-m", "engine.cli", "serve", "--port", str(port), "--log", "json"]
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=out)
    try:
        end = time.monotonic() + 90
        while "app running at" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", process, log
    finally:
        process.kill()
        process.wait()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_server_is_healthy_counts_logs_and_ends_at_a_signal(tmp_path):
    with running(tmp_path) as (url, process, log):
        status, body = get(f"{url}/healthz")
        assert (status, json.loads(body)["model"][:5]) == (200, "sdss-")
        assert get(f"{url}/gasnet_app")[0] == 200
        assert 'gasnet_http_requests_total{route="page",status="200"} 1.0' in get(f"{url}/metrics")[1]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) in (0, -signal.SIGTERM)
        said = [json.loads(line) for line in log.read_text().splitlines()]
    assert "session opened" in [line["message"] for line in said]
    assert [line for line in said if line["level"] in ("WARNING", "ERROR")] == []


def test_a_server_whose_page_cannot_be_built_is_not_healthy(tmp_path):
    (tmp_path / "assets" / "models").mkdir(parents=True)
    (tmp_path / "assets" / "surveys").symlink_to(ROOT / "assets" / "surveys")
    with running(tmp_path, GASNET_ASSETS=str(tmp_path / "assets")) as (url, _, _log):
        assert get(f"{url}/gasnet_app")[0] == 200
        status, body = get(f"{url}/healthz")
    assert (status, json.loads(body)) == (503, {"status": "failing", "what": "page"})
