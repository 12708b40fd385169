"""A real PostgreSQL server of the machine's own, for as long as tests need it, in a folder that vanishes with it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def postgres_program(name: str) -> str | None:
    """The newest initdb or pg_ctl; Debian keeps them out of the PATH."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda p: int(p.parts[4]))
    return str(debian[-1]) if debian else shutil.which(name)


def _server_user() -> str | None:
    """PostgreSQL refuses to run as root: then it runs as the user that its package made. None: as oneself."""
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL of a database on a fresh server that listens on a socket in its own folder alone."""
    user = _server_user()
    folder = Path(tempfile.mkdtemp(prefix="gasnet-pg-"))  # not pytest's: another user must be able to enter
    who = {} if user is None else {"user": user}
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, **who)
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout}\n{done.stderr}")

    pg_ctl = str(postgres_program("pg_ctl"))
    try:
        run(str(postgres_program("initdb")), "-D", str(data), "-U", "gasnet", "--auth=trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        run(pg_ctl, "-D", str(data), "-w", "-t", "60", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://gasnet@/postgres?host={folder}"
        finally:
            run(pg_ctl, "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
