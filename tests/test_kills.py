"""Killed (SIGKILL) at seeded random moments, a run goes on, and one model or the other serves, never half of one."""

from __future__ import annotations

import multiprocessing
import multiprocessing.forkserver
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import tiny_comparison, tiny_config, tiny_model

import engine
from engine.jobs import Status, TrainConfig, find_job, history, promote_run, roll_back, run, runs_dir
from engine.jobs.folder import write_settings, write_status
from engine.versions import current_model

FEW_AND_MANY = [3, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])]


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> multiprocessing.context.ForkServerContext:
    """Processes that begin at once: they are forked from one which has the engine imported."""
    monkeypatch.setenv("GASNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["engine.jobs", "tiny_runs", "test_kills"])
    return found


def train_on(config: TrainConfig, folder: Path, home: str) -> None:
    """The process that is killed."""
    pytest.MonkeyPatch().setenv("GASNET_HOME", home)
    torch.set_num_threads(1)
    run(config, folder, None, lambda _: None)


def change_for_ever(folder: Path, home: str) -> None:
    """Promote and roll back, over and over, until somebody kills this."""
    pytest.MonkeyPatch().setenv("GASNET_HOME", home)
    while True:
        if current_model(engine.load_survey("sdss")) == engine.load_survey("sdss").model:
            promote_run(folder, "better", "ana")
        roll_back("sdss", "worse", "bo")


@pytest.mark.parametrize("kills", FEW_AND_MANY)
def test_a_run_killed_at_any_moment_loses_a_chunk_at_most_and_ends_with_a_model_that_loads(
    tmp_path: Path, context: multiprocessing.context.ForkServerContext, kills: int
) -> None:
    config = tiny_config(tmp_path, spectra=6 * 512, members=2, checkpoint_seconds=0.0)
    home, random, killed, rounds = str(tmp_path / "home"), np.random.default_rng(kills), 0, 0
    folders = [tmp_path / "run-0"]
    write_settings_of(folders[0], config)
    while killed < kills or find_job(folders[-1]).state != "finished":
        if find_job(folders[-1]).state == "finished":
            rounds += 1
            folders.append(tmp_path / f"run-{rounds}")
            write_settings_of(folders[-1], config)
        before = find_job(folders[-1]).status.done
        process = context.Process(target=train_on, args=(config, folders[-1], home))
        process.start()
        process.join(random.uniform(0.02, 3.0) if killed < kills else 200)
        killed += process.is_alive()
        process.kill()
        process.join()
        job = find_job(folders[-1])
        assert job.state in ("interrupted", "finished"), job.status
        assert job.status.done >= before - 1 / 12 - 1e-6, "a chunk at most was lost"
    for folder in folders:
        assert len(engine.load_ensemble(folder, device="cpu").members) == 2
        assert not [*folder.glob("*.part"), *folder.glob("*checkpoint*")]


def write_settings_of(folder: Path, config: TrainConfig) -> None:
    folder.mkdir()
    write_settings(folder, config)


@pytest.mark.parametrize("kills", FEW_AND_MANY)
def test_killed_while_it_promotes_or_rolls_back_one_model_serves_and_the_history_tells_which(
    tmp_path: Path, context: multiprocessing.context.ForkServerContext, kills: int
) -> None:
    folder, survey = tiny_model(runs_dir() / "done"), engine.load_survey("sdss")
    write_settings(folder, TrainConfig())
    write_status(folder, Status("finished", device="cpu"))
    tiny_comparison(folder)
    shipped, random = current_model(survey), np.random.default_rng(kills)
    for _ in range(kills):
        process = context.Process(target=change_for_ever, args=(folder, str(tmp_path / "home")))
        process.start()
        process.join(random.uniform(0.02, 1.5))
        assert process.is_alive(), "nothing but the kill ends it"
        process.kill()
        process.join()
        serves, told = current_model(survey), history()
        assert serves == (told[-1].after if told else shipped)
        assert engine.load_ensemble("sdss", device="cpu").name == serves
    if current_model(survey) == shipped:
        promote_run(folder, "after all", "ana")
    assert roll_back("sdss", "worse", "bo").after == shipped
