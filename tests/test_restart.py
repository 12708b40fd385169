"""A server killed and started again while it is graded on: what the page called saved is there."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from engine.inspections import Journal
from tests.visitors import Serving, Visitor, make_assets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


async def grade_until_killed(server: Serving, visitor: Visitor, seconds: float) -> None:
    """Grades as fast as the page acknowledges them; the server dies at some moment of it."""
    await visitor.open(server.url)
    killing = asyncio.get_running_loop().call_later(seconds, server.kill)
    quality = 0
    try:
        while True:
            quality = (quality + 1) % 5
            await visitor.grade(quality)
            await visitor.moved()
    except (AssertionError, OSError) as error:
        if "connection was lost" not in str(error) and not isinstance(error, OSError):
            raise
    finally:
        killing.cancel()
        await visitor.close()


def test_a_server_killed_at_random_and_started_again_has_every_acknowledged_grade(tmp_path: Path):
    url, rng = f"sqlite:///{tmp_path / 'inspections.db'}", random.Random(5)
    assets = make_assets(tmp_path / "assets", 60)
    server = Serving(tmp_path, GASNET_ASSETS=str(assets), GASNET_INSPECTIONS=url)
    acknowledged: list[tuple[str, str, int]] = []
    try:
        for k in range(3):
            visitor = Visitor(f"inspector{k}")
            asyncio.run(grade_until_killed(server, visitor, rng.uniform(1, 4)))
            acknowledged += [(visitor.name, *act) for act in visitor.acknowledged]
            server.kill()
            server.start()
    finally:
        server.kill()
    journal = Journal(url)
    written = [(a.inspector, a.target.object_id, a.grade.quality) for a in journal.history()]
    journal.close()
    assert len(acknowledged) > 5
    assert [act for act in acknowledged if act not in written] == []
