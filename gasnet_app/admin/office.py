"""Office: what the admin of this session sees and does. No widgets; nothing is done that is not recorded."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import param

from engine import Comparison, ComparisonError, Turned, read_comparison
from engine.jobs import (
    Act,
    Change,
    Job,
    JobError,
    TrainConfig,
    Version,
    audit,
    audited,
    compare_run,
    estimate,
    history,
    jobs,
    promote,
    promote_run,
    resume,
    roll_back,
    start,
    stop,
    versions,
)
from gasnet_app.admin.access import Visitor, visitor
from gasnet_app.state import Explorer


class Office(param.Parameterized):
    """Runs, models and acts as the folders tell them, and the acts of an admin. Asks who it is before every act."""

    jobs: tuple[Job, ...] = param.ClassSelector(class_=tuple, default=(), doc="The latest first")
    versions: tuple[Version, ...] = param.ClassSelector(class_=tuple, default=())
    changes: tuple[Change, ...] = param.ClassSelector(class_=tuple, default=(), doc="Of current models, latest first")
    acts: tuple[Act, ...] = param.ClassSelector(class_=tuple, default=(), doc="Of admins, the latest first")
    chosen: str = param.String("", doc="Folder of the run that is looked at")
    read: tuple[Path, Comparison] | None = param.Parameter(None, doc="Before and after of a run: its folder, and what")
    said: str = param.String("", doc="What was done last, in words")
    problem: str = param.String("", doc="Why it was not done, in words; empty when it was")

    def __init__(self, who: Callable[[], Visitor] = visitor, **params: Any) -> None:
        super().__init__(**params)
        self._who = who

    @property
    def job(self) -> Job | None:
        """The run that is looked at: the one chosen, else the latest."""
        return self._of(self.jobs)

    @property
    def comparison(self) -> Comparison | None:
        """Before and after of the run that is looked at; None while nobody compared, or it cannot be read."""
        return self.read[1] if self.read and self.job and self.read[0] == self.job.folder else None

    def _of(self, jobs: tuple[Job, ...]) -> Job | None:
        found = next((job for job in jobs if str(job.folder) == self.chosen), None)
        return found or (jobs[0] if jobs else None)

    async def refresh(self) -> None:
        """Look at the folders again."""
        if not self._who().admin:
            return
        await self._look()

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(self._found)
        except (ValueError, OSError) as error:
            self.problem = str(error)
            return
        self.param.update(**{name: value for name, value in found.items() if value != getattr(self, name)})

    def _found(self) -> dict[str, Any]:
        there = jobs()
        job = self._of(there)
        return {
            "jobs": there, "versions": versions(), "changes": history()[::-1], "acts": audited(),
            "read": _comparison(job.folder) if job else None,
        }  # fmt: skip

    async def estimate(self, config: Callable[[], TrainConfig]) -> str:
        """How long a run would take, in words. Raises ValueError where it cannot work, and for who is no admin."""
        who = self._who()
        if not who.admin:
            raise JobError(who.why)
        return (await asyncio.to_thread(estimate, config())).words

    async def open(self, explorer: Explorer, turned: Turned) -> None:
        """Show an object whose answer changed on the page Explore, as the model that serves now sees it."""
        who, path = self._who(), Path(turned.path)
        if not who.admin:
            self.problem = who.why
            return
        if not turned.path or not path.is_file():
            kept = "spectra of mocks are kept of the first 200 that changed" if not turned.path else f"{path} is gone"
            self.problem = f"{turned.name} cannot be opened: {kept}"
            return
        explorer.tab = "explore"
        await explorer.load([path])
        keys = [key for key, record in explorer.records.items() if record.file == path.name]
        key = next((key for key in keys if key.startswith(turned.name)), next(iter(keys), ""))
        if key != explorer.selected:
            await explorer.select(key)

    # ---- acts ----------------------------------------------------------------------------------------------------

    async def start(self, config: Callable[[], TrainConfig], name: str) -> None:
        """Begin a run. config : called once the visitor is known to be an admin; its ValueError is told."""

        def begin(who: str) -> str:
            job = start(config(), name, who)
            self.chosen = str(job.folder)
            return f"{job.name} is started"

        await self._act("start", name or "a new run", begin)

    async def stop(self) -> None:
        """Ask the run that is looked at to end after a checkpoint."""

        def end(_: str) -> str:
            stop(self._folder())
            return "Told to stop; it writes a checkpoint first"

        await self._act("stop", self._name(), end)

    async def resume(self) -> None:
        """Go on with the run that is looked at."""
        await self._act("resume", self._name(), lambda who: f"{resume(self._folder(), who).name} goes on")

    async def compare(self, real: str) -> None:
        """Compare the run that is looked at with the current model. real : folder of labelled spectra, or nothing."""
        await self._act(
            "compare", self._name(), lambda who: f"{compare_run(self._folder(), real, who).name} is compared"
        )

    async def promote_run(self, reason: str) -> None:
        """Make the model of the run that is looked at the current one."""
        await self._act("promote", self._name(), lambda who: _told(promote_run(self._folder(), reason, who)))

    async def promote(self, name: str, reason: str) -> None:
        """Make a model of the list the current one of its survey."""
        await self._act("promote", name, lambda who: _told(promote(name, reason, who)))

    async def roll_back(self, survey: str, reason: str) -> None:
        """Undo the last promotion of a survey."""
        await self._act("rollback", survey, lambda who: _told(roll_back(survey, reason, who)))

    def _folder(self) -> Path:
        if self.job is None:
            raise JobError("there is no run yet")
        return self.job.folder

    def _name(self) -> str:
        return self.job.name if self.job else ""

    async def _act(self, act: str, what: str, do: Callable[[str], str]) -> None:
        """Do it if the visitor may; record that it was asked for, and what came of it."""
        who = self._who()
        self.param.update(said="", problem="")
        try:
            if not who.admin:
                self.problem = who.why
                await asyncio.to_thread(audit, who.name, act, what, "refused", who.why)
                return
            await asyncio.to_thread(audit, who.name, act, what, "asked")
            try:
                said = await asyncio.to_thread(do, who.name)
            except (ValueError, OSError) as error:
                self.problem = str(error)
                await asyncio.to_thread(audit, who.name, act, what, "failed", str(error))
            else:
                self.said = said
                await asyncio.to_thread(audit, who.name, act, what, "done", said)
        except JobError as error:  # the audit log cannot be written
            self.problem = str(error)
        await self._look()


def _comparison(folder: Path) -> tuple[Path, Comparison] | None:
    path = folder / "comparison.json"
    try:
        return folder, _read(path, path.stat().st_mtime_ns)
    except (OSError, ComparisonError):
        return None


@functools.lru_cache(4)
def _read(path: Path, _changed: int) -> Comparison:
    return read_comparison(path)


def _told(change: Change) -> str:
    return f"{change.survey}: {change.after} serves from now on, instead of {change.before}"
