"""Jobs: one run per device, seen from outside by its folder and locks alone, stopped and resumed without loss."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import LONG, labelled_set, settings_of, tiny_comparison, tiny_config, tiny_model
from typer.testing import CliRunner

import engine
from engine import ModelError
from engine.cli import app
from engine.jobs import (
    Job,
    JobError,
    Status,
    TrainConfig,
    audit,
    audited,
    compare_run,
    estimate,
    find_job,
    free_name,
    history,
    jobs,
    promote,
    promote_run,
    resume,
    roll_back,
    run,
    runs_dir,
    start,
    stop,
)
from engine.jobs.folder import write_settings, write_status
from engine.jobs.locks import Busy, device_lock, held, run_lock, take
from engine.jobs.runner import Reporter
from engine.networks.matched import Matched
from engine.plan import OwnData
from engine.trainer import Stopped
from engine.versions import current_model


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GASNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "home"


def waited(folder: Path, wanted: Callable[[Job], bool], seconds: float = 120) -> Job:
    """The job once it is as wanted."""
    for _ in range(int(seconds / 0.1)):
        job = find_job(folder)
        if wanted(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"{job.state}: {job.status}\n{job.last_words()}")


def made_run(name: str = "old", **status: Any) -> Path:
    """The folder of a run whose process is gone."""
    folder = runs_dir() / name
    folder.mkdir(parents=True)
    write_settings(folder, TrainConfig())
    write_status(folder, Status(**{"state": "learning", "device": "cpu"} | status))
    return folder


# ---- a run from outside ----------------------------------------------------------------------------------------------


def test_a_run_is_started_refused_a_rival_killed_resumed_stopped_and_finished(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, spectra=LONG)
    job = start(config, "mine", who="ana")
    assert job.running
    assert job.folder == runs_dir() / "mine"
    with pytest.raises(JobError, match=r"the device cpu trains mine already \(process \d+, since .*\)\. Wait"):
        start(config, "rival", who="bo")
    assert not (runs_dir() / "rival" / "config.json").exists(), "the one refused leaves no run"
    job = waited(job.folder, lambda j: j.status.spectra >= 2 * 512)
    assert (job.state, job.status.who, job.status.device) == ("learning", "ana", "cpu")
    assert job.status.memory > 1e8
    assert [j.name for j in jobs()] == ["mine"]

    os.kill(job.status.pid, signal.SIGKILL)
    job = waited(job.folder, lambda j: not j.running)
    assert (job.state, job.resumable) == ("interrupted", True)

    job = resume(job.folder, who="bo")
    job = waited(job.folder, lambda j: j.state == "learning")
    stop(job.folder)
    job = waited(job.folder, lambda j: not j.running)
    assert (job.state, job.status.who) == ("stopped", "bo")
    assert (job.folder / "member-0.checkpoint.safetensors").is_file()
    seen = job.status.spectra

    settings = json.loads((job.folder / "config.json").read_text())
    (job.folder / "config.json").write_text(json.dumps(settings | {"spectra": seen + 512}))
    resume(job.folder)
    job = waited(job.folder, lambda j: j.state == "finished")
    assert job.status.spectra == seen + 512, "it went on where it was stopped"
    assert engine.load_ensemble(job.folder, device="cpu").members
    with pytest.raises(JobError, match="mine is finished"):
        resume(job.folder)


def test_what_goes_wrong_in_the_process_is_told_by_the_folder(tmp_path: Path) -> None:
    config = tiny_config(tmp_path)
    (tmp_path / "labelled.npz").write_bytes(b"nothing")
    job = start(config)
    job = waited(job.folder, lambda j: not j.running)
    assert job.state == "failed"
    assert "labelled.npz" in job.status.message
    assert "labelled.npz" in job.last_words()


@pytest.mark.slow
def test_a_job_killed_at_random_moments_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    job = start(tiny_config(tmp_path, members=2, spectra=40 * 512, checkpoint_seconds=0.0), "mine")
    for k in range(6):
        time.sleep(2 + 1.7 * k)
        job = find_job(job.folder)
        if not job.running:
            break
        os.kill(job.status.pid, signal.SIGKILL)
        assert waited(job.folder, lambda j: not j.running).resumable
        job = resume(job.folder)
    job = waited(job.folder, lambda j: not j.running, 500)
    assert job.state == "finished", job.last_words()
    assert len(engine.load_ensemble(job.folder, device="cpu").members) == 2
    assert not list(job.folder.glob("*.part"))


# ---- a run from inside -----------------------------------------------------------------------------------------------


def test_a_run_of_the_command_line_holds_the_device_and_shows_in_the_list(tmp_path: Path) -> None:
    seen: list[tuple[str, ...]] = []

    def progress(_: dict[str, Any]) -> None:
        seen.append(tuple(job.state for job in jobs()))
        with pytest.raises(JobError, match="trains elsewhere already"):
            start(tiny_config(tmp_path), "second")

    folder = run(tiny_config(tmp_path), tmp_path / "elsewhere", progress, lambda _: None)
    assert seen == [("measuring",)], "the only chunk was learned"
    assert find_job(folder).state == "finished"
    assert jobs() == (), "the folders of others are listed while they are at work"
    assert not held(device_lock("cpu"))


def test_a_stop_waits_for_the_chunk_and_writes_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        run(tiny_config(tmp_path, spectra=LONG), tmp_path / "run", lambda _: signal.raise_signal(signal.SIGTERM))
    job = find_job(tmp_path / "run")
    assert job.state == "stopped"
    assert (job.folder / "member-0.checkpoint.safetensors").is_file()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_command_says_that_it_was_stopped_and_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def stopped(*_: object) -> None:
        raise Stopped

    monkeypatch.setattr("engine.jobs.run", stopped)
    result = CliRunner().invoke(app, ["train", "--name", "mine"])
    assert result.exit_code == 130
    assert f"stopped; what was learned is in {runs_dir() / 'mine'}" in result.output


def test_a_full_disk_ends_a_run_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object) -> None:
        raise ModelError("member-0: cannot be written (No space left on device)")

    monkeypatch.setattr("engine.trainer.Trainer.save", full)
    with pytest.raises(ModelError, match="No space left"):
        run(tiny_config(tmp_path, spectra=LONG, checkpoint_seconds=0.0), tmp_path / "run", None, lambda _: None)
    job = find_job(tmp_path / "run")
    assert (job.state, job.status.message) == ("failed", "member-0: cannot be written (No space left on device)")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_out_of_memory_halves_the_batch_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    plain = Matched.loss

    def small_memory(self: Matched, flux: torch.Tensor, *rest: torch.Tensor) -> Any:
        if len(flux) > 32:
            raise error
        return plain(self, flux, *rest)

    monkeypatch.setattr(Matched, "loss", small_memory)
    run(tiny_config(tmp_path), tmp_path / "run", None, lambda _: None)
    job = find_job(tmp_path / "run")
    assert job.state == "finished"
    assert job.status.notes[-2:] == tuple(f"member 0: out of memory; it goes on with batches of {n}" for n in (64, 32))


def test_what_members_trained_side_by_side_have_to_say_is_kept_with_the_run(tmp_path: Path) -> None:
    folder = run(tiny_config(tmp_path, members=2, processes=2), tmp_path / "run", None, lambda _: None)
    notes = find_job(folder).status.notes
    assert [k for k in (0, 1) if any(f"member {k}: 33 tensors copied" in words for words in notes)] == [0, 1]


def test_the_time_left_is_that_of_all_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("engine.jobs.runner.time.monotonic", lambda: clock[0])
    write_settings(tmp_path, config := TrainConfig(members=2, spectra=4000, device="cpu"))
    reporter = Reporter(config, tmp_path, None, print, "")
    for second in (1, 2):
        clock[0] = 10.0 * second
        reporter.progress({"member": 0, "spectra": 1000 * second, "done": 0.25 * second, "rate": 150.0, "loss": 2.0})
    status = find_job(tmp_path).status
    assert (status.done, status.pace, status.eta) == (0.25, 100.0, 60.0)


# ---- what a folder says ----------------------------------------------------------------------------------------------


def test_a_lock_is_let_go_of_with_its_holder_and_tells_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.lock"
    file = take(path, {"pid": 7})
    assert held(path)
    with pytest.raises(Busy) as refused:
        take(path, {"pid": 8})
    assert refused.value.facts == {"pid": 7}
    os.close(file)
    assert not held(path)


def test_a_run_whose_process_is_gone_is_interrupted_whatever_it_said_last() -> None:
    folder = made_run(state="learning", pid=os.getpid())
    assert find_job(folder).state == "interrupted"
    file = take(run_lock(folder), {})
    assert find_job(folder).state == "learning"
    os.close(file)
    write_status(folder, Status("failed", message="no space"))
    assert (find_job(folder).state, find_job(folder).resumable) == ("failed", True)
    with pytest.raises(JobError, match="old is not running; it is failed"):
        stop(folder)


def test_torn_files_of_a_folder_are_passed_over(tmp_path: Path) -> None:
    folder = made_run()
    (folder / "status.json").write_text('{"state"')
    (folder / "log.jsonl").write_text('{"member": 0, "spectra": 4096, "loss": 2.5}\n{"member": 0, "spe')
    job = find_job(folder)
    assert job.state == "interrupted"
    assert job.losses() == {0: ([4096], [2.5])}
    (runs_dir() / "empty").mkdir()
    (runs_dir() / "torn").mkdir()
    (runs_dir() / "torn" / "config.json").write_text("{")
    assert [j.name for j in jobs()] == ["old"]
    with pytest.raises(JobError, match="no run there"):
        find_job(runs_dir() / "torn")


def test_settings_come_back_from_the_folder_as_they_went_in(tmp_path: Path) -> None:
    config = TrainConfig(own_data=OwnData("spectra", "catalog.fits", 0.25), members=2, templates=None)
    write_settings(tmp_path, config)
    assert find_job(tmp_path).config == config
    assert settings_of(config)["own_data"]["mix"] == 0.25
    with pytest.raises(ValueError, match=r"TrainConfig: .*colour"):
        TrainConfig.of({"colour": "red"})


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("../up", {}, "cannot name a run"),
        ("old", {}, "there is a run old already"),
        ("", {"network": "none"}, "no network 'none'; there are"),
        ("", {"survey": "none"}, "none"),
        ("", {"start_from": "none"}, "no such model"),
        ("", {"own_data": OwnData("/nowhere")}, "/nowhere: not found on the server"),
        ("", {"own_data": None, "templates": "/nowhere"}, "/nowhere is no folder"),
    ],
)
def test_a_start_that_cannot_work_is_refused_at_once(
    tmp_path: Path, name: str, changes: dict[str, Any], words: str
) -> None:
    made_run("old")
    with pytest.raises(ValueError, match=words):
        start(tiny_config(tmp_path, **changes), name)
    assert [path.name for path in runs_dir().iterdir()] == ["old"]
    assert free_name("old") == "old-1"


def test_an_estimate_is_taken_from_earlier_runs_or_says_that_it_is_a_default() -> None:
    config = TrainConfig(members=2, spectra=100_000, device="cpu")
    assert "no run here has told yet" in estimate(config).words
    made_run(state="finished", pace=1000.0, measuring=30.0, members=1, updated="2026")
    found = estimate(config)
    assert found.seconds == 2 * 100 + 2 * 30
    assert found.words == "about 4 min: 3 min of learning (1,000 spectra/s as old went), then measuring"
    assert estimate(TrainConfig(members=3, minutes=2, spectra=None, processes=2, device="cpu")).seconds == 240 + 90


# ---- what serves -----------------------------------------------------------------------------------------------------


def finished_run() -> Path:
    folder = tiny_model(runs_dir() / "done")
    write_settings(folder, TrainConfig())
    write_status(folder, Status("finished", device="cpu"))
    return folder


def test_a_run_is_promoted_once_it_was_compared_and_rolled_back() -> None:
    folder, survey = finished_run(), engine.load_survey("sdss")
    before = current_model(survey)
    tiny_comparison(folder)
    with pytest.raises(JobError, match="needs a reason"):
        promote_run(folder, " ", "ana")
    change = promote_run(folder, "better", "ana")
    assert (change.before, change.after, change.who) == (before, current_model(survey), "ana")
    assert roll_back("sdss", "worse", "bo").after == before
    assert promote_run(folder, "after all", "ana").after == change.after, "it is not added twice"
    assert [c.action for c in history()] == ["promote", "rollback", "promote"]
    roll_back("sdss", "worse", "bo")
    assert promote(change.after, "by name", "ana").after == change.after


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "was not compared with the current model: .*no comparison there.* Compare first"),
        ('{"format"', "was not compared with the current model: .*no readable comparison.* Compare first"),
        ('{"format": 1, "n": 3}', "was not compared with the current model: .*format 1, not 2.* Compare first"),
        ("other", "its comparison.json is of other weights .* Compare again"),
    ],
)
def test_what_was_not_compared_is_not_promoted_by_anybody(home: Path, content: str | None, words: str) -> None:
    folder = finished_run()
    name = tiny_model(home / "models" / "sdss-matched-v77").name
    for where in (folder, home / "models" / name):
        if content == "other":  # the comparison was made, then the model was trained again
            other = tiny_model(home.parent / where.name, seed=2)
            tiny_comparison(other)
            text = (other / "comparison.json").read_text()
            (where / "comparison.json").write_text(text)
        elif content is not None:
            (where / "comparison.json").write_text(content)
    with pytest.raises(JobError, match=words):
        promote_run(folder, "better", "ana")
    with pytest.raises(JobError, match=words):
        promote(name, "better", "ana")
    refused = CliRunner().invoke(app, ["models", "promote", name, "--reason", "better"])
    assert isinstance(refused.exception, JobError)
    assert history() == ()


def test_a_shipped_model_is_promoted_as_it_is(home: Path) -> None:
    home.mkdir()
    shipped = engine.load_survey("sdss").model
    (home / "current.json").write_text('{"sdss": "sdss-matched-v77"}')
    tiny_model(home / "models" / "sdss-matched-v77")
    assert promote(shipped, "back to what ships", "ana").after == shipped


def test_a_run_that_is_not_finished_is_not_promoted_and_admins_wait_for_each_other(home: Path) -> None:
    with pytest.raises(JobError, match="old is interrupted"):
        promote_run(made_run(), "better", "ana")
    file = take(home / "locks" / "models", {})
    with pytest.raises(JobError, match="another admin"):
        roll_back("sdss", "worse", "bo")
    os.close(file)


# ---- before and after ------------------------------------------------------------------------------------------------


def test_a_finished_run_is_compared_with_the_current_model_while_it_holds_the_device(
    tmp_path: Path, home: Path
) -> None:
    folder = finished_run()
    tiny_model(home / "models" / "sdss-matched-v77", seed=2)
    (home / "current.json").write_text('{"sdss": "sdss-matched-v77"}')
    (tmp_path / "real").mkdir()
    labelled_set(tmp_path / "real" / "labelled.npz")
    job = compare_run(folder, str(tmp_path / "real"), who="ana")
    assert (job.state, job.running, job.status.who) == ("comparing", True, "ana")
    with pytest.raises(JobError, match="the device cpu trains done already"):
        start(tiny_config(tmp_path), "rival")
    job = waited(folder, lambda j: not j.running)
    assert job.state == "finished"
    assert job.status.notes[-1] == "compared with sdss-matched-v77 on labelled spectra in real", job.last_words()
    found = engine.read_comparison(folder)
    assert (found.before, found.after, found.samples[0].n) == ("sdss-matched-v77", "done", 40)
    assert promote_run(folder, "better", "ana").before == "sdss-matched-v77"


def test_a_comparison_that_fails_says_why_and_leaves_the_run_finished(tmp_path: Path) -> None:
    folder = finished_run()
    (tmp_path / "empty").mkdir()
    compare_run(folder, str(tmp_path / "empty"))
    job = waited(folder, lambda j: not j.running)
    assert job.state == "finished"
    assert job.status.notes[-1].startswith("comparison failed: "), job.last_words()
    assert not (folder / "comparison.json").exists()


def test_a_comparison_that_is_stopped_leaves_a_finished_run(tmp_path: Path) -> None:
    folder = finished_run()
    (tmp_path / "real").mkdir()
    labelled_set(tmp_path / "real" / "labelled.npz")
    compare_run(folder, str(tmp_path / "real"))
    stop(folder)
    assert waited(folder, lambda j: not j.running).state == "finished"


def test_nothing_to_compare_on_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GASNET_TEMPLATES", raising=False)
    folder = finished_run()
    with pytest.raises(JobError, match="nothing to compare on: set GASNET_TEMPLATES"):
        compare_run(folder)
    with pytest.raises(JobError, match="nowhere: no folder on the server"):
        compare_run(folder, "nowhere")
    with pytest.raises(JobError, match="old is interrupted; a finished run can be compared"):
        compare_run(made_run(), str(tmp_path))


def test_every_act_is_a_line_of_the_audit_log(home: Path) -> None:
    audit("ana", "start", "sdss-1", "done")
    audit("bo", "stop", "sdss-1", "refused", "no admin:\nbo")
    assert [(a.who, a.act, a.outcome, a.words) for a in audited()] == [
        ("bo", "stop", "refused", "no admin: bo"), ("ana", "start", "done", ""),
    ]  # fmt: skip
    assert len((home / "audit.jsonl").read_text().splitlines()) == 2
    (home / "audit.jsonl").unlink()
    (home / "audit.jsonl").mkdir()
    with pytest.raises(JobError, match="what is not recorded is not done"):
        audit("ana", "start", "sdss-2", "done")
