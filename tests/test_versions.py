"""Versions of models: what is there, what serves a survey, and who changed that when and why."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import tiny_comparison
from typer.testing import CliRunner

import engine
from engine import ModelError, versions
from engine.cli import app
from engine.networks import build
from engine.registry import card_base, find_model, read_card, save_member, sha256_of, write_card
from engine.versions import add, current_model, history, next_name, promote, rollback

TINY = {"features": 4, "filters": 4, "hidden": 8}
SURVEY = Path(engine.__file__).parents[1] / "assets" / "surveys" / "sdss.toml"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Assets with two surveys, sdss and bare, of which sdss alone has a shipped model; and an empty home."""
    assets = tmp_path / "assets"
    (assets / "surveys").mkdir(parents=True)
    shipped = f'model = "{engine.load_survey("sdss").model}"'
    text = SURVEY.read_text().replace(shipped, 'model = "sdss-matched-v1"')
    (assets / "surveys" / "sdss.toml").write_text(text)
    bare = text.replace('name = "sdss"', 'name = "bare"', 1).replace("sdss-matched-v1", "bare-matched-v1")
    (assets / "surveys" / "bare.toml").write_text(bare)
    monkeypatch.setenv("GASNET_ASSETS", str(assets))
    monkeypatch.setenv("GASNET_HOME", str(tmp_path / "home"))
    make_model(assets / "models" / "sdss-matched-v1", seed=1)
    return tmp_path / "home"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished training run."""
    return make_model(tmp_path / "run", seed=2)


def make_model(folder: Path, seed: int, survey_name: str = "sdss", **changes: Any) -> Path:
    folder.mkdir(parents=True)
    survey = engine.load_survey(survey_name)
    torch.manual_seed(seed)
    network = build("matched", survey, TINY)
    save_member(network, folder / "member-0.safetensors")
    member = {"file": "member-0.safetensors", "seed": seed, "sha256": sha256_of(folder / "member-0.safetensors")}
    card = card_base(folder.name, survey, network, [seed]) | {
        "members": [member], "mae": dict.fromkeys(survey.names, 0.01), "data": "none", "split": "none",
        "training": {"spectra": 1}, "validation": {"n": 1, "classes": {"QSO": {"n": 1, "accuracy": 0.5}}},
        "date": "2026-11-25", "calibration": {"ece": 0.01}, "ood": {"threshold": 0.5}, "limits": "untrained",
    }  # fmt: skip
    write_card(folder, card | changes)
    return folder


def command(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


def seed_that_answers(survey: str = "sdss") -> int:
    return int(engine.load_ensemble(survey, device="cpu").card["seeds"][0])


def test_the_survey_file_names_the_current_model_until_another_is_promoted(run: Path) -> None:
    assert seed_that_answers() == 1
    name = add(run)
    assert seed_that_answers() == 1, "an added model waits for its promotion"
    promote(name, "better on quasars")
    assert seed_that_answers() == 2
    assert engine.load_ensemble("sdss-matched-v1", device="cpu").card["seeds"] == [1], "both are there by name"


def test_a_promotion_says_who_when_from_what_to_what_and_why(run: Path, home: Path) -> None:
    promote(add(run), "  better on quasars ", who="Ada")
    (change,) = history()
    assert (change.who, change.action, change.survey) == ("Ada", "promote", "sdss")
    assert (change.before, change.after, change.reason) == ("sdss-matched-v1", "sdss-matched-v2", "better on quasars")
    assert change.when.endswith("+00:00")
    assert json.loads((home / "current.json").read_text()) == {"sdss": "sdss-matched-v2"}


def test_rollbacks_go_back_one_promotion_each_and_never_to_and_fro(run: Path, home: Path) -> None:
    two, three = add(run), add(run)
    promote(two, "a")
    promote(three, "b")
    assert rollback("sdss", "worse").after == two
    assert rollback("sdss", "worse still").after == "sdss-matched-v1"
    with pytest.raises(ModelError, match="no promotion to roll back; sdss-matched-v1 serves it"):
        rollback("sdss", "further")
    assert json.loads((home / "current.json").read_text()) == {}, "the survey file decides again"
    assert [change.action for change in history()] == ["promote", "promote", "rollback", "rollback"]


def test_a_change_that_a_kill_prevented_is_not_in_the_history(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    name, other = add(run), add(run)
    promote(name, "better")
    with monkeypatch.context() as patch:
        patch.setattr("engine.versions.os.replace", killed)
        with pytest.raises(Killed):
            promote(other, "better still")
    assert [change.after for change in history()] == [name]
    promote(other, "again")
    assert [change.after for change in history()] == [name, other]
    assert rollback("sdss", "worse").after == name


def test_shipped_models_are_not_written_to(run: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (tmp_path / "assets").rglob("*") if path.is_file()}
    promote(add(run), "a")
    rollback("sdss", "b")
    assert {path: path.read_bytes() for path in (tmp_path / "assets").rglob("*") if path.is_file()} == before


def test_versions_are_numbered_on(run: Path, tmp_path: Path) -> None:
    assert [add(run), add(run)] == ["sdss-matched-v2", "sdss-matched-v3"]
    assert next_name("sdss", "gasnet2") == "sdss-gasnet2-v1"
    assert add(make_model(tmp_path / "other", 3, "bare")) == "bare-matched-v2", "v1 is promised by the survey file"
    assert read_card(find_model("sdss-matched-v2"))["model"] == "sdss-matched-v2"


@pytest.mark.parametrize("name", ["sdss-matched-v1", "sdss"])
def test_a_name_that_is_taken_is_refused(run: Path, name: str) -> None:
    with pytest.raises(ModelError, match="already; give another name"):
        add(run, name)


@pytest.mark.parametrize("name", ["../escape", "", ".hidden", "a/b"])
def test_a_name_that_is_a_path_is_refused(run: Path, name: str) -> None:
    with pytest.raises(ModelError, match="cannot name a model"):
        add(run, name or " ")


def test_the_same_name_in_both_places_is_refused_and_both_are_named(run: Path, home: Path) -> None:
    shutil.copytree(run, home / "models" / "sdss-matched-v1")
    with pytest.raises(ModelError, match=r"assets/models/sdss-matched-v1 and .*home/models/sdss-matched-v1: two"):
        engine.load_ensemble("sdss", device="cpu")
    assert "two models of one name" in command("models")


def test_a_survey_without_a_model_says_so_and_names_both_places() -> None:
    with pytest.raises(ModelError, match=r"bare has no model yet.*assets/models nor in .*home/models.*: sdss\."):
        engine.load_ensemble("bare", device="cpu")
    assert "no model yet" in next(line for line in command("models").splitlines() if "bare-matched-v1" in line)


def test_a_model_that_is_nowhere_names_both_places() -> None:
    with pytest.raises(ModelError, match=r"neither in .*assets/models/ghost nor in .*home/models/ghost"):
        engine.load_ensemble("ghost", device="cpu")


def test_promotion_refuses_what_would_not_load(run: Path) -> None:
    file = find_model(add(run)) / "member-0.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(ModelError, match="sha256 differs"):
        promote("sdss-matched-v2", "a")
    assert current_model(engine.load_survey("sdss")) == "sdss-matched-v1"


def test_promotion_refuses_a_card_without_its_split_rule(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"lacks split rule \(split\)"):
        promote(add(make_model(tmp_path / "run", 3, split="")), "a")


@pytest.mark.parametrize("change", [lambda: promote("sdss-matched-v2", " "), lambda: rollback("sdss", "")])
def test_a_change_needs_a_reason(run: Path, change: Callable[[], Any]) -> None:
    promote(add(run), "a")
    promote(add(run), "b")
    with pytest.raises(ModelError, match="needs a reason"):
        change()


def test_promoting_the_current_model_is_refused() -> None:
    with pytest.raises(ModelError, match="is the current model of sdss already"):
        promote("sdss-matched-v1", "a")


def test_rolling_back_to_a_model_that_is_gone_is_refused(run: Path) -> None:
    two, three = add(run), add(run)
    promote(two, "a")
    promote(three, "b")
    shutil.rmtree(find_model(two))
    with pytest.raises(ModelError, match="no such model"):
        rollback("sdss", "worse")
    assert current_model(engine.load_survey("sdss")) == three


def test_a_run_that_is_unfinished_or_damaged_is_not_added(run: Path, home: Path) -> None:
    (run / "member-0.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="sha256 differs"):
        add(run)
    (run / "card.json").unlink()
    with pytest.raises(ModelError, match="A run writes it when all its members are trained"):
        add(run)
    assert not home.exists()


def no_space(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["shutil.copyfile", "os.replace"])
def test_a_full_disk_leaves_no_part_of_a_model(run: Path, home: Path, call: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(f"engine.versions.{call}", no_space)
    with pytest.raises(ModelError, match=r"sdss-matched-v2: cannot be written \(No space left on device\)"):
        add(run)
    monkeypatch.undo()
    assert list((home / "models").iterdir()) == []


@pytest.mark.parametrize("call", ["os.replace", "os.fsync"])
def test_a_full_disk_leaves_the_current_model_and_the_history_as_they_were(
    run: Path, home: Path, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two, three = add(run), add(run)
    promote(two, "a")
    before = {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(f"engine.versions.{call}", no_space)
        with pytest.raises(ModelError, match=r"No space left on device\); sdss-matched-v2 stays current"):
            promote(three, "b")
    assert {path.name: path.read_bytes() for path in home.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("text", ["{", "[]", '{"sdss": 3}'])
def test_a_damaged_table_of_current_models_is_named(home: Path, text: str) -> None:
    home.mkdir()
    (home / "current.json").write_text(text)
    with pytest.raises(ModelError, match=r"current\.json: .*remove it"):
        engine.load_ensemble("sdss", device="cpu")


def test_a_damaged_line_of_the_history_is_named(home: Path) -> None:
    home.mkdir()
    (home / "history.jsonl").write_text('{"when": \n')
    with pytest.raises(ModelError, match=r"history\.jsonl, line 1: "):
        rollback("sdss", "a")


def test_the_command_lists_adds_promotes_and_rolls_back(run: Path) -> None:
    assert "added sdss-matched-v2" in command("models", "add", str(run))
    tiny_comparison(find_model("sdss-matched-v2"))
    assert "sdss-matched-v2 serves from now on" in command("models", "promote", "sdss-matched-v2", "--reason", "a")
    line = next(line for line in command("models").splitlines() if "sdss-matched-v2" in line)
    assert "current" in line
    assert "own" in line
    assert "sdss-matched-v1 serves again" in command("models", "rollback", "sdss", "--reason", "worse")
    assert "worse" in command("models", "history")


def test_versions_tell_shipped_from_own(run: Path) -> None:
    add(run)
    by_name = {v.name: v for v in versions.versions()}
    assert by_name["sdss-matched-v1"].shipped
    assert not by_name["sdss-matched-v2"].shipped
    assert by_name["bare-matched-v1"].folder is None
    assert versions.served_surveys() == ("sdss",)
