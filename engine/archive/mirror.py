"""Mirror: the data folder, laid out as the surveys lay their archives out, or with files lying flat in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from engine.archive.web import ArchiveError, NotFound
from engine.identifiers import FourmostRef, PathRef


@dataclass(frozen=True)
class Mirror:
    """A folder (--data-dir, $GASNET_DATA); None when none is set."""

    folder: Path | None

    def find(self, paths: Iterable[str], site: str) -> Path | None:
        """The first of an archive's relative paths that is in the folder.

        Looked for below the folder itself, below host and path of the site (as wget keeps them), and by name alone.
        """
        if self.folder is None:
            return None
        parts = urlsplit(site)
        below = self.folder / (parts.hostname or "") / parts.path.strip("/")
        for path in paths:
            for place in (self.folder / path, below / path, self.folder / path.rsplit("/", 1)[-1]):
                if place.is_file():
                    return place
        return None

    def typed(self, ref: PathRef) -> Path:
        """The file of a path that somebody typed. Raises ArchiveError for one outside the folder, or not there."""
        if self.folder is None:
            raise ArchiveError(
                f"{ref.path}: paths are opened in the data folder only, and none is set (--data-dir, GASNET_DATA)"
            )
        root = self.folder.resolve()
        try:
            path = (root / ref.path).resolve()
            there = path.is_file()
        except (OSError, RuntimeError) as error:  # a loop of links, a name longer than the disk allows
            raise ArchiveError(
                f"{ref.path}: cannot be followed; check the path and links in the data folder"
            ) from error
        if not path.is_relative_to(root):
            raise ArchiveError(f"{ref.path}: lies outside the data folder, where alone paths are opened")
        if not there:
            raise NotFound(f"{ref.path}: no such file in the data folder")
        return path

    def local(self, ref: FourmostRef) -> Path:
        """The file of a 4MOST name: NAME.fits in the folder or anywhere below its folder 4most."""
        names = [f"{ref.local}{suffix}" for suffix in (".fits", ".fit", ".fits.gz")]
        if self.folder is not None:
            for name in names:
                for path in (self.folder / name, *sorted((self.folder / "4most").rglob(name))):
                    if path.is_file():
                        return path
        where = "not in the data folder" if self.folder else "no data folder is set (--data-dir, GASNET_DATA)"
        raise NotFound(f"{ref.name}: {where}, and 4MOST has no public archive. Put {names[0]} into its folder 4most")
