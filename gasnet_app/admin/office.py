"""Office: what the admin of this session sees and does. No widgets; nothing is done that is not recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import param

from engine.jobs import (
    Act,
    Change,
    Job,
    JobError,
    TrainConfig,
    Version,
    audit,
    audited,
    estimate,
    history,
    jobs,
    promote,
    resume,
    roll_back,
    start,
    stop,
    versions,
)
from gasnet_app.admin.access import Visitor, visitor

log = logging.getLogger(__name__)


class Office(param.Parameterized):
    """Runs, models and acts as the folders tell them, and the acts of an admin. Asks who it is before every act."""

    jobs: tuple[Job, ...] = param.ClassSelector(class_=tuple, default=(), doc="The latest first")
    versions: tuple[Version, ...] = param.ClassSelector(class_=tuple, default=())
    changes: tuple[Change, ...] = param.ClassSelector(class_=tuple, default=(), doc="Of current models, latest first")
    acts: tuple[Act, ...] = param.ClassSelector(class_=tuple, default=(), doc="Of admins, the latest first")
    chosen: str = param.String("", doc="Folder of the run that is looked at")
    said: str = param.String("", doc="What was done last, in words")
    problem: str = param.String("", doc="Why it was not done, in words; empty when it was")

    def __init__(self, who: Callable[[], Visitor] = visitor, **params: Any) -> None:
        super().__init__(**params)
        self._who = who

    @property
    def job(self) -> Job | None:
        """The run that is looked at: the one chosen, else the latest."""
        found = next((job for job in self.jobs if str(job.folder) == self.chosen), None)
        return found or (self.jobs[0] if self.jobs else None)

    async def refresh(self) -> None:
        """Look at the folders again."""
        if not self._who().admin:
            return
        await self._look()

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(
                lambda: {"jobs": jobs(), "versions": versions(), "changes": history()[::-1], "acts": audited()}
            )
        except (ValueError, OSError) as error:
            self.problem = str(error)
            return
        self.param.update(**{name: value for name, value in found.items() if value != getattr(self, name)})

    async def estimate(self, config: Callable[[], TrainConfig]) -> str:
        """How long a run would take, in words. Raises ValueError where it cannot work, and for who is no admin."""
        who = self._who()
        if not who.admin:
            raise JobError(who.why)
        return (await asyncio.to_thread(estimate, config())).words

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


def _told(change: Change) -> str:
    return f"{change.survey}: {change.after} serves from now on, instead of {change.before}"
