"""Refs: which spectrum is meant, in the survey's own numbers; and the refusal of text that names none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from engine.plain import PlainError

FORMS: tuple[tuple[str, str], ...] = (
    ("751-52251-160", "SDSS plate-mjd-fiber"),
    ("845594848269461504", "SDSS specObjID"),
    ("15000-59146-4375786564", "SDSS-V field-mjd-catalogid"),
    ("39632936152072660", "DESI TARGETID"),
    ("main-dark-9144-39632936152072660", "DESI survey-program-healpix-TARGETID"),
    ("4most:NAME", "a 4MOST file in the data folder"),
    ("night1/spectrum.fits", "a path in the data folder"),
)
WORKS = "Forms that work: " + ", ".join(f"{form} ({what})" for form, what in FORMS)


class IdentifierError(PlainError):
    """Text that names no spectrum, or more than one. The message says what would; choices holds those meant."""

    def __init__(self, message: str, choices: tuple[Ref, ...] = ()) -> None:
        super().__init__(message)
        self.choices = choices


@dataclass(frozen=True)
class Ref:
    """One spectrum of one survey, by the survey's own numbers.

    survey : SDSS, SDSS-V, DESI, 4MOST or file; release : the data release that was asked for, None for the newest
    """

    survey: ClassVar[str] = ""
    _told: ClassVar[Mapping[str, str]] = {}  # key in Spectrum.meta -> field, of what an ID may tell beyond the object
    release: str | None = field(default=None, kw_only=True)

    @property
    def object_id(self) -> str:
        """What the readers call this object."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """Text that resolves to this Ref again."""
        return f"{self.release}:{self.object_id}" if self.release else self.object_id

    def means(self, object_id: str, meta: Mapping[str, Any]) -> bool:
        """True for a spectrum that was read already, by its object_id and meta, if nothing that both tell differs."""
        told = {"release": self.release, **{key: getattr(self, name) for key, name in self._told.items()}}
        return object_id == self.object_id and all(
            value is None or (key in meta and str(meta[key]).strip() == str(value)) for key, value in told.items()
        )


@dataclass(frozen=True)
class SdssRef(Ref):
    """A plate, a night and a fibre. run2d: the reduction, None when the ID did not tell."""

    survey: ClassVar[str] = "SDSS"
    _told: ClassVar[Mapping[str, str]] = {"run2d": "run2d"}
    plate: int
    mjd: int
    fiber: int
    run2d: str | None = None

    @property
    def object_id(self) -> str:
        """plate-mjd-fiber."""
        return f"{self.plate}-{self.mjd}-{self.fiber}"

    @property
    def name(self) -> str:
        """The specObjID when the reduction is known, else plate-mjd-fiber."""
        text = self.object_id if self.run2d is None else f"specobjid:{specobjid(self, self.run2d)}"
        return f"{self.release}:{text}" if self.release else text


@dataclass(frozen=True)
class SdssVRef(Ref):
    """A field, a night and an object of the catalogue."""

    survey: ClassVar[str] = "SDSS-V"
    fieldid: int
    mjd: int
    catalogid: int

    @property
    def object_id(self) -> str:
        """field-mjd-catalogid."""
        return f"{self.fieldid}-{self.mjd}-{self.catalogid}"


@dataclass(frozen=True)
class DesiRef(Ref):
    """A TARGETID; where it was observed (desi_survey, program) and in which file (healpix), as far as it was told."""

    survey: ClassVar[str] = "DESI"
    _told: ClassVar[Mapping[str, str]] = {"survey": "desi_survey", "program": "program", "healpix": "healpix"}
    targetid: int
    desi_survey: str | None = None
    program: str | None = None
    healpix: int | None = None

    @property
    def object_id(self) -> str:
        """The TARGETID."""
        return str(self.targetid)

    @property
    def name(self) -> str:
        """What is known of survey, program and healpix, then the TARGETID."""
        known = [str(part) for part in (self.desi_survey, self.program, self.healpix) if part is not None]
        return ":".join([*([self.release] if self.release else []), "desi", "-".join([*known, self.object_id])])

    @property
    def brick(self) -> int:
        """Brick of the Legacy Surveys that the target lies in."""
        return (self.targetid >> 22) & 0xFFFFF


@dataclass(frozen=True)
class FourmostRef(Ref):
    """A 4MOST spectrum by its local name. No release of 4MOST is public yet."""

    survey: ClassVar[str] = "4MOST"
    local: str

    @property
    def object_id(self) -> str:
        """The local name."""
        return self.local

    @property
    def name(self) -> str:
        """4most: and the local name."""
        return f"4most:{self.local}"


@dataclass(frozen=True)
class PathRef(Ref):
    """A file. It is looked for in the data folder and nowhere else."""

    survey: ClassVar[str] = "file"
    path: str

    @property
    def object_id(self) -> str:
        """The path as it was typed."""
        return self.path

    @property
    def name(self) -> str:
        """The path, quoted so that its spaces do not part it."""
        return f'file:"{self.path}"'


def specobjid(ref: SdssRef, run2d: str) -> int:
    """The specObjID (DR8 and later) of a plate, night and fibre in a reduction such as 26 or v5_13_2."""
    if (version := re.fullmatch(r"v(\d+)_(\d+)_(\d+)", run2d)) is not None:
        n, m, p = map(int, version.groups())
        run = (n - 5) * 10_000 + m * 100 + p
    else:
        run = int(run2d)
    return ref.plate << 50 | ref.fiber << 38 | (ref.mjd - 50_000) << 24 | run << 10
