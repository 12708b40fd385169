"""The page Admin without a browser: who may, what is asked of engine.jobs, what the form offers."""

from __future__ import annotations

import asyncio
import inspect
import json
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import panel as pn
import panel_material_ui as pmui
import pytest

from engine import Turned, current_model, jobs, load_survey
from engine.evaluate import COMPARED, MEAN, Change, Comparison, Line, Number, Sample, write_comparison
from engine.jobs import JobError, OwnData, TrainConfig, audited
from engine.jobs.folder import Status, write_settings, write_status
from gasnet_app.admin import AdminView, office
from gasnet_app.admin.access import Visitor, judge, visitor
from gasnet_app.admin.form import Form
from gasnet_app.admin.office import Office
from gasnet_app.admin.run_pane import RunPane, facts_html

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel 1.9 with pandas 3

HERE = "127.0.0.1"
ANA, BO = Visitor("ana", "10.0.0.7"), Visitor("bo", "10.0.0.8", "bo is not among the admins (GASNET_ADMINS).")
EXPLORER: Any = SimpleNamespace(
    worker=SimpleNamespace(survey=SimpleNamespace(name="sdss")), param=SimpleNamespace(watch=lambda *_: None)
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GASNET_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("GASNET_TEMPLATES", raising=False)
    return tmp_path / "home"


def made_run(home: Path, name: str = "old", **status: Any) -> Path:
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    write_settings(folder, TrainConfig())
    write_status(folder, Status(**{"state": "stopped", "device": "cpu"} | status))
    return folder


# ---- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.5.1", "::1", "::ffff:127.0.0.1", "::1%lo"])
def test_without_a_login_this_machine_may(address: str) -> None:
    assert judge(None, False, address, ["Host", "User-Agent", "Cookie"], []).admin


@pytest.mark.parametrize("address", ["10.0.0.7", "::ffff:10.0.0.7", "0.0.0.0", "2001:db8::1", "", "localhost", "127.1"])
def test_without_a_login_no_other_address_may(address: str) -> None:
    assert not judge(None, False, address, [], ["ana"]).admin


@pytest.mark.parametrize(
    "header", ["X-Forwarded-For", "x-forwarded-host", "Forwarded", "Via", "X-Real-IP", "CF-Connecting-IP"]
)
def test_what_a_proxy_passed_on_is_of_nobody_knows_where(header: str) -> None:
    refused = judge(None, False, HERE, ["Host", header], [])
    assert not refused.admin
    assert header.lower() in refused.why


@pytest.mark.parametrize(
    ("user", "admins", "may"),
    [
        ("ana", {"ana", "cy"}, True), ("bo", {"ana"}, False), ("ana", set(), False), (None, {"ana"}, False),
        ("", {""}, False), ("guest", {"guest"}, False), ("Ana", {"ana"}, False),
    ],
)  # fmt: skip
def test_with_a_login_the_listed_may_wherever_they_are_and_nobody_else_even_here(
    user: str | None, admins: set[str], may: bool
) -> None:
    for address, headers in ((HERE, []), ("10.0.0.7", ["X-Forwarded-For"])):
        assert judge(user, True, address, headers, admins).admin == may


def test_a_user_whom_somebody_else_logged_in_is_held_to_the_list() -> None:
    assert not judge("bo", False, HERE, [], {"ana"}).admin


def test_code_that_runs_in_no_session_may_not() -> None:
    assert not visitor().admin


def test_who_is_no_admin_gets_words_and_nothing_to_press() -> None:
    view = AdminView(EXPLORER, lambda: BO)
    assert list(view.view.select(lambda o: isinstance(o, pn.widgets.WidgetBase | pmui.Button))) == []
    text = "".join(pane.object for pane in view.view.select(pn.pane.HTML))
    assert "bo is not among the admins" in text
    assert "gasnet serve --login-file" in text


# ---- every act is guarded and recorded -------------------------------------------------------------------------------

ACTS: dict[str, tuple[Any, ...]] = {
    "start": (TrainConfig, "mine"), "stop": (), "resume": (), "promote": ("sdss-matched-v9", "better"),
    "roll_back": ("sdss", "worse"), "compare": ("",), "promote_run": ("better",),
}  # fmt: skip
TURNED = Turned("mock-7", "", "QSO", 1.5, "GALAXY", 0.1, "QSO", 1.5, "right now")
LOOKS: dict[str, tuple[Any, ...]] = {"refresh": (), "estimate": (TrainConfig,), "open": (EXPLORER, TURNED)}


def asked(desk: Office, name: str) -> None:
    """Call one method of an office, as a button would."""
    asyncio.run(getattr(desk, name)(*(ACTS | LOOKS)[name]))


def test_every_callback_of_the_office_is_known_here() -> None:
    public = {n for n, f in vars(Office).items() if inspect.iscoroutinefunction(f) and not n.startswith("_")}
    assert public == {*ACTS, *LOOKS}


@pytest.mark.parametrize("act", ACTS)
def test_who_is_no_admin_any_more_is_refused_in_every_act(
    home: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    def never(*_: Any) -> Any:
        raise AssertionError("done for somebody who may not")

    for name in ("start", "stop", "resume", "promote", "roll_back", "compare_run", "promote_run"):
        monkeypatch.setattr(office, name, never)
    made_run(home)
    visitors = [ANA, BO, BO]
    desk = Office(lambda: visitors.pop(0))
    asyncio.run(desk.refresh())
    before = desk.jobs
    asked(desk, act)
    assert desk.problem == BO.why
    (line,) = audited()
    assert (line.who, line.act, line.outcome) == ("bo", act.replace("_run", "").replace("_", ""), "refused")
    assert desk.jobs is before, "nothing new is shown either"


def test_who_is_no_admin_any_more_sees_nothing_new_and_gets_no_estimate(home: Path) -> None:
    made_run(home)
    desk = Office(lambda: BO)
    asked(desk, "refresh")
    assert desk.jobs == ()
    with pytest.raises(JobError, match="not among the admins"):
        asked(desk, "estimate")
    asked(desk, "open")
    assert desk.problem == BO.why


def test_an_act_is_done_told_and_recorded_with_who_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    change = jobs.Change("2026-11-26T00:00:00+00:00", "ana", "promote", "sdss", "one", "two", "better")
    monkeypatch.setattr(office, "promote", lambda name, reason, who: change)
    desk = Office(lambda: ANA)
    asked(desk, "promote")
    assert desk.said == "sdss: two serves from now on, instead of one"
    assert [(a.who, a.act, a.what, a.outcome) for a in audited()] == [
        ("ana", "promote", "sdss-matched-v9", "done"),
        ("ana", "promote", "sdss-matched-v9", "asked"),
    ]


def test_what_cannot_be_done_is_told_and_recorded(home: Path) -> None:
    made_run(home)
    desk = Office(lambda: ANA)
    asked(desk, "refresh")
    asked(desk, "stop")
    assert desk.problem == "old is not running; it is stopped"
    assert audited()[0].outcome == "failed"
    assert audited()[0].words == desk.problem


def test_what_cannot_be_recorded_is_not_done(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(office, "stop", lambda folder: done.append(folder.name))
    folder = made_run(home)
    (home / "audit.jsonl").mkdir()
    desk = Office(lambda: ANA, chosen=str(folder))
    asked(desk, "refresh")
    asked(desk, "stop")
    assert "what is not recorded is not done" in desk.problem
    assert done == []


# ---- before and after ------------------------------------------------------------------------------------------------


def compared_run(home: Path, name: str = "done") -> Path:
    """A finished run with a comparison: 60 objects, of which two changed."""
    folder = made_run(home, name, state="finished")
    number = Change(Number(0.5, 0.01), Number(0.6, 0.01), Number(0.1, 0.01))
    line = Line(MEAN, 60, 60, dict.fromkeys(COMPARED, number))
    file = folder / "mock-7.ecsv"
    file.write_text("a spectrum")
    turned = (replace(TURNED, path=str(file)), replace(TURNED, name="<b>mock-9", verdict="wrong now"))
    sample = Sample("60 mock spectra", 60, (line,), ("GALAXY", "QSO"), ((29, 1), (4, 26)), ((29, 1), (2, 28)), turned)
    write_comparison(Comparison("sdss-matched-v2", name, "sdss", "2026-11-26T10:00:00Z", 7, (sample,)), folder)
    return folder


def test_a_comparison_shows_numbers_with_differences_confusion_and_changed_objects(home: Path) -> None:
    compared_run(home)
    desk = Office(lambda: ANA)
    asked(desk, "refresh")
    pane = RunPane(desk, lambda turned: desk.open(EXPLORER, turned))
    assert (pane.promote.visible, pane.compare.visible, pane.look.visible) == (True, True, True)
    shown = pane.comparison
    assert "which does not serve any more: compare again" in shown.words.object
    assert '<tr class="sure"><td>accuracy</td><td>0.5</td><td>0.6</td><td>+0.1 ± 0.01</td></tr>' in shown.numbers.object
    assert '<td>QSO</td><td class="better">-2</td><td class="better">+2</td>' in shown.confusion.object
    assert list(shown.table.value["object"]) == ["mock-7", "<b>mock-9"]
    assert list(shown.table.value["before"]) == ["GALAXY 0.1000", "GALAXY 0.1000"]


def test_a_run_without_a_readable_comparison_cannot_be_promoted_from_the_page(home: Path) -> None:
    folder = compared_run(home)
    (folder / "comparison.json").write_text("{")
    desk = Office(lambda: ANA)
    asked(desk, "refresh")
    pane = RunPane(desk, lambda turned: desk.open(EXPLORER, turned))
    assert (pane.compare.visible, pane.promote.visible, pane.look.visible) == (True, False, False)
    asked(desk, "promote_run")
    assert "Compare first, then promote" in desk.problem


def test_a_changed_object_opens_in_the_explorer_or_says_why_not(home: Path) -> None:
    folder = compared_run(home)
    loaded: list[Path] = []

    class Screen:
        tab, selected, records = "admin", "", {"mock-7": SimpleNamespace(file="mock-7.ecsv")}

        async def load(self, paths: list[Path]) -> None:
            loaded.extend(paths)

        async def select(self, key: str) -> None:
            self.selected = key

    desk, screen = Office(lambda: ANA), Screen()
    asyncio.run(desk.open(screen, replace(TURNED, path=str(folder / "mock-7.ecsv"))))  # type: ignore[arg-type]
    assert loaded == [folder / "mock-7.ecsv"]
    assert (screen.tab, screen.selected, desk.problem) == ("explore", "mock-7", "")
    asyncio.run(desk.open(screen, TURNED))  # type: ignore[arg-type]
    assert desk.problem == "mock-7 cannot be opened: spectra of mocks are kept of the first 200 that changed"


# ---- the form --------------------------------------------------------------------------------------------------------


def test_the_form_has_a_line_for_every_setting_with_its_bounds_and_help() -> None:
    form = Form(lambda: None)
    plain = {f.name for f in fields(TrainConfig)} - {"own_data"}
    assert set(form.settings) == plain | {f"own_data.{f.name}" for f in fields(OwnData)}
    members = form.settings["members"]
    assert (members.widget.start, members.widget.end) == (1, 100)
    assert "networks in the ensemble; 1 to 100" in members.view[2].object


def test_the_form_as_it_opens_is_a_run_from_the_current_model() -> None:
    assert Form(lambda: None).config() == TrainConfig(start_from=current_model(load_survey("sdss")))


def test_what_is_set_is_what_the_run_gets() -> None:
    changes: list[int] = []
    form = Form(lambda: changes.append(1))
    given = {
        "survey": "desi", "members": 2, "minutes": 1.5, "own_data.spectra": "/data/mine", "own_data.mix": 0.5,
        "network_config": '{"hidden": 8}', "noisy_classes": "QSO, GALAXY",
    }  # fmt: skip
    for name, value in given.items():
        form.settings[name].widget.value = value
    form.settings["start_from"].widget.value = None
    own = OwnData("/data/mine", None, 0.5)
    assert form.config() == TrainConfig(
        survey="desi", members=2, minutes=1.5, spectra=None, own_data=own, network_config={"hidden": 8},
        noisy_classes=["QSO", "GALAXY"],
    )  # fmt: skip
    assert len(changes) >= len(given)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("network_config", "{hidden", "network_config: no JSON object"), ("members", None, "members: nothing is given"),
        ("label_noise", 0.1, "label_noise is a share"), ("spectra", None, "give either minutes or spectra"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_form_is_named(name: str, value: Any, words: str) -> None:
    form = Form(lambda: None)
    form.settings[name].widget.value = value
    with pytest.raises(ValueError, match=words):
        form.config()


def test_bounds_are_held_on_the_server_whatever_a_browser_sends(home: Path) -> None:
    form = Form(lambda: None)
    form.settings["members"].widget.param.value.bounds = None
    form.settings["members"].widget.value = 100_000
    desk = Office(lambda: ANA)
    asyncio.run(desk.start(form.config, "mine"))
    assert desk.problem == "TrainConfig: members is 100000; it must be at most 100"
    assert not (home / "runs").exists()


def test_names_from_folders_are_text_not_markup(home: Path) -> None:
    folder = made_run(home, "a", message="<img src=x>", state="failed", who="<b>")
    (folder / "config.json").write_text(json.dumps({"survey": "sdss"}))
    desk = Office(lambda: ANA)
    asked(desk, "refresh")
    assert "<img" not in facts_html(desk.jobs[0])
