"""`python -m engine.jobs FOLDER DEVICE_LOCK RUN_LOCK`: the process that trains a job started by engine.jobs.start.

With BEFORE, N and REAL behind these, it compares the run with the model BEFORE instead (engine.jobs.comparing).
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def main() -> int:
    """Train what config.json says, holding the locks whose open files were handed over. Returns the exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with contextlib.suppress(OSError):
        os.nice(5)  # the page goes first
    from engine.jobs.comparing import make_comparison
    from engine.jobs.folder import find_job
    from engine.jobs.runner import run
    from engine.trainer import Stopped

    folder, device, lock, *more = sys.argv[1:]
    locks = (int(device), int(lock))
    if more:
        before, n, real = more
        return make_comparison(Path(folder), locks, before, int(n), real)
    try:
        job = find_job(Path(folder))
        run(job.config, job.folder, notice=_say, who=job.status.who, locks=locks)
    except Stopped:
        _say("stopped")
    except (ValueError, OSError) as error:  # status.json has it too
        _say(str(error))
        return 1
    return 0


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
