"""Compare a finished run with the model that serves, in a process of its own, which holds the run's locks meanwhile.

It leaves comparison.json in the run's folder, whole or not at all; killed, a finished run that can be compared again.
"""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path

from engine.evaluate import compare
from engine.jobs.control import spawn
from engine.jobs.folder import Job, JobError, find_job, write_status
from engine.jobs.runner import EVERY, holding, take_locks
from engine.survey import load_survey
from engine.versions import current_model

MOCKS = 2600  # the fixed validation set of engine.evaluate.compare


def compare_run(folder: Path, real: str = "", who: str = "", n: int = MOCKS) -> Job:
    """Begin to compare a finished run with the current model of its survey; returns the run, at it.

    real : folder of labelled spectra as `gasnet validate` takes; n : mock spectra, where there are templates
    Raises JobError when the run is not finished, the device is in use, or there is nothing to compare on.
    """
    job = find_job(folder)
    if job.state != "finished":
        raise JobError(f"{job.name} is {job.state}; a finished run can be compared")
    real = real.strip()
    if real and not Path(real).is_dir():
        raise JobError(f"{real}: no folder on the server; give the path of labelled spectra there")
    real = real and str(Path(real).resolve())
    templates = job.status.templates or os.environ.get("GASNET_TEMPLATES")
    if not templates and not real:
        raise JobError("nothing to compare on: set GASNET_TEMPLATES for mock spectra, or give labelled ones")
    before = current_model(load_survey(job.config.survey))
    device, run = take_locks(job.config, folder)
    try:
        status = replace(job.status, who=who, host=socket.gethostname(), compared=0.0)
        more = (before, str(n if templates else 0), real)
        process = spawn(folder, device, run, *more)
        write_status(folder, replace(status, pid=process.pid))
    finally:
        os.close(run)
        os.close(device)
    return find_job(folder)


def make_comparison(folder: Path, locks: tuple[int, int], before: str, n: int, real: str) -> int:
    """The process's part; locks : as they were handed over. Returns the exit code; a failure is a notice of the run."""
    job, told = find_job(folder), [0.0]
    status = replace(job.status, pid=os.getpid(), compared=0.0)

    def tell(done: int, of: int) -> None:
        if time.monotonic() - told[0] > EVERY:
            told[0] = time.monotonic()
            write_status(folder, replace(status, compared=done / of))

    with holding(job.config, folder, locks):
        try:
            found = compare(before, folder, job.status.templates, real or None, n, folder, job.config.device, tell)
            words = f"compared with {found.before} on {' and '.join(sample.data for sample in found.samples)}"
        except (ValueError, OSError) as error:
            words = f"comparison failed: {error}"
        write_status(folder, status.noted(words))
    return int(words.startswith("comparison failed"))
