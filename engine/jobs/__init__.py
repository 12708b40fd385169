"""Training as a job: a folder and a lock, whoever started it; and how its model comes to serve (docs/admin.md)."""

from engine.jobs.acts import Act, audit, audited
from engine.jobs.comparing import compare_run
from engine.jobs.control import Estimate, estimate, free_name, in_words, resume, start, stop
from engine.jobs.folder import Job, JobError, Status, find_job, jobs, runs_dir
from engine.jobs.locks import Busy
from engine.jobs.runner import run
from engine.jobs.shelf import promote, promote_run, roll_back
from engine.networks import NETWORKS
from engine.plan import OwnData, TrainConfig
from engine.versions import Change, Version, history, versions

__all__ = [
    "NETWORKS",
    "Act",
    "Busy",
    "Change",
    "Estimate",
    "Job",
    "JobError",
    "OwnData",
    "Status",
    "TrainConfig",
    "Version",
    "audit",
    "audited",
    "compare_run",
    "estimate",
    "find_job",
    "free_name",
    "history",
    "in_words",
    "jobs",
    "promote",
    "promote_run",
    "resume",
    "roll_back",
    "run",
    "runs_dir",
    "start",
    "stop",
    "versions",
]
