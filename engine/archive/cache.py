"""Cache: spectra that were fetched, on disk, each beside a sidecar with its URL, date and checksum."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import platformdirs

log = logging.getLogger(__name__)

CAP = 4 * 2**30  # bytes; some ten thousand SDSS spectra
_SIDECAR, _PART = ".json~", ".part"
_STALE = 86_400.0  # seconds after which what a killed process left half written is removed


def default_folder() -> Path:
    """$GASNET_CACHE, else the user's cache directory of this platform."""
    return Path(os.environ.get("GASNET_CACHE") or platformdirs.user_cache_path("gasnet-explorer"))


class Cache:
    """Files by key, which is a relative path such as data.sdss.org/sas/dr17/.../spec-0751-52251-0160.fits.

    A file counts only with its sidecar and the right checksum, so what was cut short or altered is never read. Beyond
    cap bytes those used longest ago go. Several processes may share a folder.
    """

    def __init__(self, folder: Path, cap: int = CAP) -> None:
        self.folder, self.cap = folder, cap
        self._room = 0  # bytes that may still come before the folder is looked through again

    def get(self, key: str) -> Path | None:
        """The file of a key, its checksum verified just now; None when there is none. A damaged one is removed."""
        path = self._path(key)
        try:
            known = json.loads(_sidecar(path).read_text())
            data = path.read_bytes()
        except (OSError, ValueError):
            return None
        if hashlib.sha256(data).hexdigest() != known.get("sha256"):
            log.warning("%s: damaged in the cache; removed", path)
            _remove(path)
            return None
        with suppress(OSError):  # a folder that may only be read still serves
            os.utime(path)
        return path

    def put(self, key: str, data: bytes, url: str) -> Path:
        """Keep data that came from a URL; the path. Raises OSError when the folder cannot be written."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        told = {"url": url, "date": now, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        _write(path, data)
        _write(_sidecar(path), json.dumps(told, indent=1).encode())
        self._room -= len(data)
        if self._room < 0:
            self._trim(path)
            self._room = self.cap // 64
        return path

    def _path(self, key: str) -> Path:
        parts = PurePosixPath(key).parts
        if not parts or ".." in parts or PurePosixPath(key).is_absolute():
            raise ValueError(f"{key}: no key of the cache")
        return self.folder.joinpath(*parts)

    def _trim(self, keep: Path) -> None:
        """Remove what was used longest ago until the rest fits, and what a killed process left."""
        kept: list[tuple[float, int, Path]] = []
        for path in self.folder.rglob("*"):
            with suppress(OSError):  # another process may remove it first
                if not path.is_file():
                    continue
                status = path.stat()
                if path.name.endswith(_PART):
                    if time.time() - status.st_mtime > _STALE:
                        path.unlink()
                elif not path.name.endswith(_SIDECAR):
                    kept.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total <= self.cap:
                return
            if path != keep:
                _remove(path)
                total -= size


def _sidecar(path: Path) -> Path:
    return path.with_name(path.name + _SIDECAR)


def _remove(path: Path) -> None:
    _sidecar(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    """Write beside the goal, then rename: nobody ever sees half a file."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", suffix=_PART, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
