"""The page Admin in a real Chromium: a run started, watched from two browsers, stopped, resumed, compared, promoted and
rolled back; and who is no admin finds nothing to press."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from tiny_runs import TINY, labelled_set, tiny_model

from tests.browser.conftest import ROOT, Served, opened

SLOW = 90_000  # milliseconds that a step of a process may take on a loaded machine


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose SDSS model is a tiny one of the user's own; beside it labelled spectra and a model to start from."""
    folder = tmp_path_factory.mktemp("admin")
    tiny_model(folder / "home" / "models" / "sdss-matched-v77", seed=2)
    (folder / "home" / "current.json").write_text('{"sdss": "sdss-matched-v77"}')
    (folder / "real").mkdir()
    labelled_set(folder / "real" / "labelled.npz")
    return folder


@pytest.fixture(scope="module")
def serving(browser: Browser, home: Path) -> Iterator[Served]:
    server = Served(ROOT / "assets", home / "log.txt", GASNET_HOME=str(home / "home"), GASNET_TEMPLATES="")
    yield server
    server.stop()


def fill(page: Page, setting: str, value: str) -> None:
    """Set one line of the form, as a person does."""
    field = page.locator(f".setting-{setting} input")
    field.fill(value)
    field.press("Enter")


def choose(page: Page, setting: str, value: str) -> None:
    page.locator(f".setting-{setting} select").select_option(label=value)


def press(page: Page, button: str) -> None:
    found = page.locator(f".{button} button")
    expect(found).to_be_enabled(timeout=SLOW)
    found.click()


def state(page: Page, words: str) -> None:
    """Wait until the run that is looked at says so."""
    expect(page.locator(".job")).to_contain_text(re.compile(words), timeout=SLOW)


def test_the_loop_from_start_to_roll_back(browser: Browser, serving: Served, home: Path) -> None:
    with (
        opened(browser, serving, "?tab=admin", ".who") as page,
        opened(browser, serving, "", ".model button") as explorer,
    ):
        expect(page.locator(".who")).to_contain_text("You act as local (127.0.0.1)")
        expect(explorer.locator(".model button")).to_have_text("sdss-matched-v77")

        # Start: what cannot work is told first, at the estimate and at the start.
        expect(page.locator(".estimate")).to_contain_text("about", timeout=SLOW)
        page.locator(".more button").click()
        fill(page, "network-config", "{")
        expect(page.locator(".estimate")).to_contain_text("network_config: no JSON object", timeout=SLOW)
        fill(page, "network-config", json.dumps(TINY))
        fill(page, "members", "1")
        fill(page, "spectra", "200000")
        fill(page, "checkpoint-seconds", "1")
        choose(page, "device", "cpu")
        page.locator(".run-name input").fill("mine")
        press(page, "start")
        expect(page.locator(".said")).to_contain_text("mock spectra are made from a folder of templates", timeout=SLOW)
        fill(page, "own-data-spectra", str(home / "real" / "labelled.npz"))
        press(page, "start")
        expect(page.locator(".said")).to_contain_text("mine is started", timeout=SLOW)
        state(page, "mine learning")

        # Watch: after a reload, and from another browser.
        page.reload()
        state(page, r"mine learning.*spectra/s.*loss \d.*device cpu, 0\.\d+ GB")
        with opened(browser, serving, "?tab=admin", ".who") as other:
            state(other, "mine learning")
            press(other, "stop")
            state(other, "mine stopped")
        state(page, "mine stopped")

        # Resume: it goes on where it was; its end is brought near.
        settings = home / "home" / "runs" / "mine" / "config.json"
        seen = json.loads((settings.parent / "status.json").read_text())["spectra"]
        settings.write_text(json.dumps(json.loads(settings.read_text()) | {"spectra": seen + 512}))
        press(page, "resume")
        state(page, "mine finished")

        # Compare, look at an object whose answer changed, promote.
        expect(page.locator(".promote-run button")).to_be_hidden()
        page.locator(".real input").fill(str(home / "real"))
        press(page, "compare")
        state(page, "compared with sdss-matched-v77 on labelled spectra in real")
        page.locator(".looks button", has_text="Numbers").click()
        expect(page.locator(".compared")).to_contain_text("sdss-matched-v77, which serves", timeout=SLOW)
        expect(page.locator(".compared-numbers")).to_contain_text("accuracy", timeout=SLOW)
        page.locator(".run-reason input").fill("knows my quasars")
        press(page, "promote-run")
        expect(page.locator(".said")).to_contain_text("serves from now on, instead of sdss-matched-v77", timeout=SLOW)
        new = json.loads((home / "home" / "current.json").read_text())["sdss"]

        # The other session goes over without a reload, and says so.
        expect(explorer.locator(".model button")).to_have_text(new, timeout=SLOW)
        expect(explorer.locator("body")).to_contain_text(f"{new} serves from now on", timeout=SLOW)
        expect(page.locator(".changes")).to_contain_text("knows my quasars")

        # Roll back.
        page.locator(".model-reason input").fill("misses BALs")
        press(page, "roll-back")
        expect(explorer.locator(".model button")).to_have_text("sdss-matched-v77", timeout=SLOW)
        expect(page.locator(".acts")).to_contain_text("rollback sdss, done", timeout=SLOW)
    acts = [json.loads(line) for line in (home / "home" / "audit.jsonl").read_text().splitlines()]
    done = [(act["act"], act["what"]) for act in acts if act["outcome"] == "done"]
    assert done == [("start", "mine"), ("stop", "mine"), ("resume", "mine"), ("compare", "mine"), ("promote", "mine"),
                    ("rollback", "sdss")]  # fmt: skip
    assert {act["who"] for act in acts} == {"local (127.0.0.1)"}


def test_through_a_proxy_without_a_login_there_is_nothing_to_press(browser: Browser, serving: Served) -> None:
    context = browser.new_context(extra_http_headers={"X-Forwarded-For": "127.0.0.1"})
    page = context.new_page()
    page.goto(f"{serving.url}?tab=admin")
    expect(page.locator(".refused")).to_contain_text("passed on by a proxy (x-forwarded-for)", timeout=SLOW)
    for button in ("start", "stop", "resume", "promote", "roll-back"):
        expect(page.locator(f".{button}")).to_have_count(0)
    context.close()


def test_with_a_login_the_admins_named_may_and_other_inspectors_may_not(browser: Browser, home: Path) -> None:
    logins = home / "logins.json"
    logins.write_text('{"ana": "quasar", "bo": "galaxy"}')
    options = ("--basic-auth", str(logins), "--cookie-secret", "of this test alone")
    served = Served(
        ROOT / "assets", home / "login.txt", 1, options, GASNET_HOME=str(home / "home"), GASNET_ADMINS="ana"
    )
    try:
        for name, password, shown in (("ana", "quasar", ".who"), ("bo", "galaxy", ".refused")):
            context = browser.new_context()
            page = context.new_page()
            page.goto(f"{served.url}?tab=admin")
            page.locator("input[name=username]").fill(name)
            page.locator("input[name=password]").fill(password)
            page.keyboard.press("Enter")
            expect(page.locator(".user")).to_contain_text(name, timeout=SLOW)
            page.get_by_text("Admin", exact=True).click()
            expect(page.locator(shown)).to_contain_text(name, timeout=SLOW)
            expect(page.locator(".start")).to_have_count(1 if name == "ana" else 0)
            context.close()
    finally:
        served.stop()
