"""The archive: from a Ref to a file on disk, by way of the data folder, the cache and the surveys' own servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from engine.archive import desi, sdss
from engine.archive.cache import Cache, default_folder
from engine.archive.mirror import Mirror
from engine.archive.sparcl import Ambiguous, Sparcl, one_of
from engine.archive.web import ArchiveError, BadAnswer, NotFound, Unreachable, Web
from engine.identifiers import DesiRef, FourmostRef, PathRef, Ref, SdssRef, SdssVRef
from engine.readers.source import opened
from engine.spectrum import SpectrumError

__all__ = ["SITES", "Ambiguous", "Archive", "ArchiveError", "BadAnswer", "NotFound", "Unreachable", "fetch"]

SITES: Mapping[str, str] = {
    "sdss": "https://data.sdss.org/sas",
    "desi": "https://data.desi.lbl.gov/public",
    "sparcl": "https://astrosparcl.datalab.noirlab.edu/sparc",
}


def fetch(ref: Ref, data_dir: str | Path | None = None) -> Path:
    """The file of a spectrum, fetched if it must be; read it with `engine.read`.

    data_dir : a local mirror; None takes $GASNET_DATA. $GASNET_CACHE is where fetched files are kept (else the user's
    cache directory), $GASNET_CACHE_GB how much (4), $GASNET_ARCHIVES other servers ("sdss=https://..., desi=...").
    Raises ArchiveError: Ambiguous (with choices), NotFound, Unreachable or BadAnswer.
    """
    folder = str(data_dir or os.environ.get("GASNET_DATA", ""))
    archives, gigabytes = os.environ.get("GASNET_ARCHIVES", ""), os.environ.get("GASNET_CACHE_GB", "4")
    return _archive(folder, str(default_folder()), gigabytes, archives).fetch(ref)


@lru_cache(maxsize=8)
def _archive(data_dir: str, cache: str, gigabytes: str, archives: str) -> Archive:
    """One for all sessions of a process, so that a host that failed is left alone by all of them."""
    try:
        cap = int(float(gigabytes) * 2**30)
    except (ValueError, OverflowError):
        raise ArchiveError(f"GASNET_CACHE_GB is {gigabytes!r}; give a number of gigabytes") from None
    return Archive(Path(data_dir) if data_dir else None, Cache(Path(cache), cap), other_sites(archives))


def other_sites(text: str) -> dict[str, str]:
    """Base URLs by archive: SITES, changed by text such as "sdss=https://mirror.example/sas, desi=https://..."."""
    sites = dict(SITES)
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, url = part.partition("=")
        if name not in SITES or not url.startswith(("https://", "http://")):
            raise ArchiveError(f"GASNET_ARCHIVES: {part!r} is not one of {', '.join(SITES)}, then = and a URL")
        sites[name] = url.rstrip("/")
    return sites


class Archive:
    """Where spectra come from, in order: the data folder, the cache, the survey's own server, SPARCL.

    data_dir : a local mirror; cache : of what was fetched; sites : base URLs; web : the way out, made from the sites
    """

    def __init__(
        self, data_dir: Path | None, cache: Cache, sites: Mapping[str, str] = SITES, web: Web | None = None
    ) -> None:
        self.mirror, self.cache, self.sites = Mirror(data_dir), cache, dict(sites)
        self.web = web or Web(urlsplit(url).netloc for url in self.sites.values())
        self._sparcl = Sparcl(self.web, self.sites["sparcl"])

    def fetch(self, ref: Ref) -> Path:
        """The file of a spectrum. Raises ArchiveError and nothing else; see `fetch`."""
        if isinstance(ref, PathRef):
            return self.mirror.typed(ref)
        if isinstance(ref, FourmostRef):
            return self.mirror.local(ref)
        if (here := self._at_hand(ref)) is not None:
            return here
        reasons: list[str] = []
        unreached = False
        for ask in self._remote(ref):
            try:
                return ask()
            except (NotFound, Unreachable, BadAnswer) as error:
                reasons.append(str(error))
                unreached |= not isinstance(error, NotFound)
        where = "cache or data folder" if self.mirror.folder else "cache (no data folder is set)"
        message = f"{ref.name}: not in {where}, and {'; '.join(dict.fromkeys(reasons))}"
        raise Unreachable(message) if unreached else NotFound(message)

    # ---- what is on this machine -----------------------------------------------------------------------------------

    def _at_hand(self, ref: Ref) -> Path | None:
        if isinstance(ref, DesiRef):
            if (rows := self._rows(ref, self._open_local)) is not None:
                return self._keep(_key(ref, "fits"), *rows)
        elif isinstance(ref, SdssRef | SdssVRef):
            paths = sdss.paths(ref)
            if (path := self.mirror.find(paths, self.sites["sdss"])) is not None:
                return path
            for relative in paths:
                if (path := self.cache.get(self._sdss_key(relative))) is not None:
                    return path
        return self.cache.get(_key(ref, "fits")) or self.cache.get(_key(ref, "json"))

    def _open_local(self, full: DesiRef) -> Path | None:
        return self.mirror.find([desi.path(full)], self.sites["desi"])

    # ---- what is elsewhere -----------------------------------------------------------------------------------------

    def _remote(self, ref: Ref) -> Iterator[Callable[[], Path]]:
        if isinstance(ref, SdssRef | SdssVRef):
            yield lambda: self._from_sdss(ref)
        if isinstance(ref, DesiRef) and ref.healpix is not None:  # its own server first, where the file is known
            yield lambda: self._from_desi(ref)
        if isinstance(ref, SdssRef | DesiRef):
            yield lambda: self._keep(_key(ref, "json"), *self._sparcl.fetch(ref))
        if isinstance(ref, DesiRef) and ref.healpix is None:
            yield lambda: self._from_desi(ref)

    def _from_sdss(self, ref: SdssRef | SdssVRef) -> Path:
        missing: NotFound | None = None
        for path in sdss.paths(ref):
            url = f"{self.sites['sdss']}/{path}"
            try:
                data = self.web.get(url)
            except NotFound as error:
                missing = error
                continue
            try:
                with opened(data, path.rsplit("/", 1)[-1]) as file:
                    if not file.hdus:
                        raise SpectrumError("no FITS file")
            except SpectrumError as error:
                raise BadAnswer(f"{urlsplit(url).netloc} sent a damaged file ({error})") from error
            return self._keep(self._sdss_key(path), data, url)
        assert missing is not None
        raise missing

    def _from_desi(self, ref: DesiRef) -> Path:
        rows = self._rows(ref, lambda full: f"{self.sites['desi']}/{desi.path(full)}")
        if rows is None:
            raise NotFound(f"{urlsplit(self.sites['desi']).netloc} has no such spectrum")
        return self._keep(_key(ref, "fits"), *rows)

    def _rows(self, ref: DesiRef, where: Callable[[DesiRef], Path | str | None]) -> tuple[bytes, str] | None:
        """(FITS file of the target's row, where it was) from the newest release that has it; None when none has.

        Raises Ambiguous when several coadds of that release hold the target.
        """
        found: dict[Ref, tuple[bytes, str]] = {}
        for full in desi.coadds(ref):
            if found and next(iter(found)).release != full.release:
                break
            place = where(full)
            if place is None:
                continue
            try:
                found[full] = (self._row(place, full), str(place))
            except NotFound:
                continue
        return found[one_of(ref, list(found))] if found else None

    def _row(self, place: Path | str, full: DesiRef) -> bytes:
        """The row of a coadd on disk or at a URL. Raises NotFound when the coadd does not have it, or is not there."""
        try:
            stream = place.open("rb") if isinstance(place, Path) else desi.RangeFile(self.web, place)
            with closing(stream):
                return desi.take(stream, full)
        except ArchiveError:
            raise
        except Exception as error:  # astropy fails in many ways on a damaged file
            name = place.name if isinstance(place, Path) else place.rsplit("/", 1)[-1]
            raise BadAnswer(f"{name} is damaged or no coadd ({type(error).__name__}: {error})") from error

    # ---- the cache -------------------------------------------------------------------------------------------------

    def _sdss_key(self, path: str) -> str:
        site = urlsplit(self.sites["sdss"])
        return f"{site.netloc.replace(':', '-')}/{site.path.strip('/')}/{path}".replace("//", "/")

    def _keep(self, key: str, data: bytes, url: str) -> Path:
        try:
            return self.cache.put(key, data, url)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise ArchiveError(
                f"{self.cache.folder}: the file cannot be kept ({reason}); set GASNET_CACHE to a folder with room"
            ) from error


def _key(ref: Ref, suffix: str) -> str:
    """Key of what was taken out of a larger answer: by the name that was asked for, as an ID may be of several."""
    return f"{ref.survey.lower()}/{ref.name.replace(':', '-')}.{suffix}"
