"""Start, stop and resume a run from another process, and say beforehand how long it takes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import engine
from engine.jobs.folder import Job, JobError, Status, find_job, jobs, now, runs_dir, write_settings, write_status
from engine.jobs.locks import device_key
from engine.jobs.runner import take_locks
from engine.networks import NETWORKS
from engine.plan import TrainConfig
from engine.registry import find_model
from engine.survey import load_survey

# Before any run has told: spectra/s of a whole run on two CPU cores, the making of mock spectra included, and the
# seconds in which an ensemble of five is measured. Guesses but for matched (docs/log.md, "benchmarks minutes").
PACE = {"matched": 120.0, "gasnet2": 90.0}
MEASURING = 90.0


@dataclass(frozen=True)
class Estimate:
    """How long a run will take. seconds : learning and measuring; words : that, and what it is taken from."""

    seconds: float
    words: str


def estimate(config: TrainConfig) -> Estimate:
    """From the budget and the pace of earlier runs of the network on the device, else a default that is stated.

    Raises ValueError when the device does not exist here.
    """
    key = device_key(config.device)
    alike = [
        job for job in jobs()
        if job.settings.get("network") == config.network and job.status.device == key and job.status.pace > 0
    ]  # fmt: skip
    side_by_side = [job for job in alike if job.settings.get("processes") == config.processes]
    known = (side_by_side or alike)[:1]
    pace = known[0].status.pace if known else PACE.get(config.network, min(PACE.values()))
    at_once = min(config.processes, config.members)
    if config.minutes is not None:
        learning = 60 * config.minutes * -(-config.members // at_once)
    else:
        learning = config.members * (config.spectra or 0) / pace
    measured = next((job for job in alike if job.status.measuring), None)
    members = measured.status.members if measured else 5
    measuring = (measured.status.measuring if measured else MEASURING) * config.members / max(members, 1)
    source = f"as {known[0].name} went" if known else "of two CPU cores; no run here has told yet"
    rate = f"{pace:,.0f} spectra/s {source}" if config.minutes is None else "the minutes that are given"
    words = f"about {in_words(learning + measuring)}: {in_words(learning)} of learning ({rate}), then measuring"
    return Estimate(learning + measuring, words)


def in_words(seconds: float) -> str:
    """A duration, as a person says it."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def free_name(survey: str) -> str:
    """A name for a run that no folder of runs_dir has."""
    n = 1
    while (runs_dir() / f"{survey}-{n}").exists():
        n += 1
    return f"{survey}-{n}"


def start(config: TrainConfig, name: str = "", who: str = "") -> Job:
    """Begin a run in a process of its own, which outlives this one; returns it, at work.

    name : of its folder in runs_dir, else the next free one; who : that asked for it
    Raises JobError when the device is in use or the name is taken, SurveyError, ModelError or ValueError for settings
    that cannot work. What goes wrong later is in the job's status.
    """
    name = name.strip() or free_name(config.survey)
    if not re.fullmatch(r"[\w][\w.-]{0,99}", name):
        raise JobError(f"{name!r} cannot name a run: letters, digits, '-', '_' and '.' can")
    _check(config)
    folder = runs_dir() / name
    if (folder / "config.json").exists():
        raise JobError(f"there is a run {name} already; resume it, or give another name")
    return _begin(config, folder, who, new=True)


def resume(folder: Path, who: str = "", templates: str | None = None) -> Job:
    """Go on with a run that was stopped, failed or interrupted, from its last checkpoint. Raises JobError."""
    job = find_job(folder)
    if job.running:
        raise JobError(f"{job.name} is at work already (process {job.status.pid})")
    if job.state == "finished":
        raise JobError(f"{job.name} is finished; there is nothing to go on with")
    config = replace(job.config, templates=templates or job.status.templates)
    return _begin(config, folder, who, new=False)


def stop(folder: Path) -> None:
    """Ask a run to write a checkpoint and end. Raises JobError when it is not running, or not on this machine."""
    job = find_job(folder)
    if not job.running:
        raise JobError(f"{job.name} is not running; it is {job.state}")
    if job.status.host != socket.gethostname():
        raise JobError(f"{job.name} runs on {job.status.host}, not here: stop it there")
    try:
        os.kill(job.status.pid, signal.SIGTERM)
    except (ProcessLookupError, PermissionError) as error:
        raise JobError(f"{job.name}: process {job.status.pid} cannot be told to stop ({error.strerror})") from error


def _check(config: TrainConfig) -> None:
    """What would end the run as soon as it begins, told before it does."""
    load_survey(config.survey)
    if config.network not in NETWORKS:
        raise JobError(f"no network {config.network!r}; there are {', '.join(NETWORKS)}")
    if config.start_from:
        find_model(config.start_from)
    own = config.own_data
    for what in (own.spectra, own.catalog) if own else ():
        if what and not Path(what).exists():
            raise JobError(f"{what}: not found on the server; give the path of labelled spectra there")
    if own is None or own.mix:
        templates = config.templates or os.environ.get("GASNET_TEMPLATES")
        if not templates or not Path(templates).is_dir():
            raise JobError(
                f"mock spectra are made from a folder of templates, and {templates or 'none'} is "
                f"{'no folder' if templates else 'given'}: name one, or set GASNET_TEMPLATES (docs/simulation.md)"
            )


def _begin(config: TrainConfig, folder: Path, who: str, new: bool) -> Job:
    device, run = take_locks(config, folder)
    try:
        if new:
            if (folder / "config.json").exists():  # made by somebody else since it was looked for
                raise JobError(f"there is a run {folder.name} already; resume it, or give another name")
            write_settings(folder, config)
            status = Status()
        else:
            status = find_job(folder).status
        status = replace(
            status, state="starting", who=who, host=socket.gethostname(), began=now(), message="", eta=None,
            device=device_key(config.device), members=config.members, templates=config.templates,
        )  # fmt: skip
        process = spawn(folder, device, run)
        write_status(folder, replace(status, pid=process.pid))
    finally:
        os.close(run)
        os.close(device)
    return find_job(folder)


def spawn(folder: Path, device: int, run: int, *more: str) -> subprocess.Popen:
    """A process at work in a folder: it inherits the two locks, and neither the terminal nor the death of this one."""
    root = str(Path(engine.__file__).parents[1])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with (folder / "output.txt").open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "engine.jobs", str(folder.resolve()), str(device), str(run), *more], cwd=folder,
            env={**os.environ, "PYTHONPATH": path}, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True, pass_fds=(device, run),
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True, name="reaper").start()  # or it would stay a zombie
    return process
