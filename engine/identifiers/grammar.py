"""The grammar of IDs: how plate-mjd-fiber, TARGETIDs, names and paths may be spelled, alone or in a pasted list."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.identifiers.numbers import FIBERS, FIELD_MJD, PLATE_MJD, from_old_specobjid, from_specobjid, is_targetid
from engine.identifiers.refs import DesiRef, FourmostRef, IdentifierError, PathRef, Ref, SdssRef, SdssVRef

PIXELS = range(12 * 64**2)  # healpix, nside 64
DESI_SURVEYS = ("main", "sv1", "sv2", "sv3", "special", "cmx")
DESI_PROGRAMS = ("dark", "bright", "backup", "other")
SUFFIXES = (".fits", ".fit", ".gz", ".csv", ".ecsv", ".txt", ".json")
LONGEST = 6  # words of one ID: a prefix, a release, survey, program, healpix, TARGETID

_SURVEYS = {"sdss": "SDSS", "specobjid": "specObjID", "sdss-v": "SDSS-V", "sdssv": "SDSS-V", "sdss5": "SDSS-V",
            "desi": "DESI", "targetid": "DESI", "4most": "4MOST", "file": "file", "sdss_id": "sdss_id"}  # fmt: skip
_PREFIX = re.compile(rf"({'|'.join(sorted(_SURVEYS, key=len, reverse=True))}|edr|dr\d{{1,2}})\s*[:=\s]\s*", re.I | re.A)
_DESI_RELEASES, _SDSS_V_RELEASES = ("edr", "dr1"), ("dr18", "dr19")
_SDSS_RELEASES = tuple(f"dr{n}" for n in range(8, 20))
_BY_SURVEY = {"SDSS": _SDSS_RELEASES, "SDSS-V": _SDSS_V_RELEASES, "DESI": _DESI_RELEASES}
_FITS = r"(?:\.fits?(?:\.gz)?)?"
_PLATE = re.compile(rf"(?:spec[-_])?(\d{{3,5}})[-_ ](\d{{5}})[-_ ](\d{{1,4}}){_FITS}", re.I | re.A)
_SPSPEC = re.compile(rf"spspec-(\d{{5}})-(\d{{4}})-(\d{{3}}){_FITS}", re.I | re.A)
_FIELD = re.compile(rf"(?:spec[-_])?(\d{{4,6}})p?[-_ ](\d{{5}})[-_ ](\d{{8,19}}){_FITS}", re.I | re.A)
_THREE = re.compile(r"\d+[-_]\d+[-_]\d+", re.A)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}")
_TOKEN = re.compile(r'"([^"]*)"|\'([^\']*)\'|([^\s,;"\']+)')


def parse(text: str) -> tuple[list[Ref], list[IdentifierError]]:
    """(what each ID of a text names, what is wrong with each of the others). Never raises."""
    found: list[Ref] = []
    wrong: list[IdentifierError] = []
    for line in text.splitlines():
        words = _words(line)
        while words:
            for n in range(min(LONGEST, len(words)), 0, -1):
                try:
                    ref = _one(words[:n])
                except IdentifierError as error:
                    wrong.append(error)
                    break
                if ref is not None:
                    found.append(ref)
                    break
            else:
                n = 1
                wrong.append(IdentifierError(_why(words[0])))
            words = words[n:]
    return found, wrong


def _words(line: str) -> list[str]:
    """The words of a line. Quotes hold a path with spaces together, and so does a line that is one path."""
    text = line.strip()
    starts = [part.startswith(("/", "./", "~/")) for part in text.split()]
    ends = [part.lower().endswith(SUFFIXES) for part in text.split()]
    if len(starts) > 1 and starts[0] and ends[-1] and sum(starts) == sum(ends) == 1 and not re.search("[,;]", text):
        return [text]
    return ["".join(parts) for parts in _TOKEN.findall(text) if any(parts)]


def _one(words: list[str]) -> Ref | None:
    """The Ref that these words name together; None when they name none. Raises IdentifierError when it is certain."""
    text = " ".join(words)
    survey = release = ""
    while (prefix := _PREFIX.match(text)) is not None:
        word = prefix.group(1).lower()
        if word in _SURVEYS and not survey:
            survey = _SURVEYS[word]
        elif word not in _SURVEYS and not release:
            release = word
        else:
            return None
        text = text[prefix.end() :].strip()
    if survey in ("4MOST", "file", "sdss_id"):
        return _local(survey, text) if len(words) <= 2 else None
    for read in (_plate, _field, _target, _number):
        ref = read(text, survey, release)
        if ref is not None:
            return _checked(ref, survey, release, text)
    return _path(text) if len(words) == 1 and not survey and not release and _is_path(text) else None


def _local(survey: str, text: str) -> Ref | None:
    if survey == "sdss_id":
        raise IdentifierError(f"'{text}': no file is named by an sdss_id; give field-mjd-catalogid, from the catalogue")
    if survey == "file":
        return _path(text)
    name = re.sub(r"\.fits?(\.gz)?$", "", text, flags=re.I)
    return FourmostRef(name) if _NAME.fullmatch(name) and ".." not in name else None


def _is_path(text: str) -> bool:
    return "/" in text or "\\" in text or text.lower().endswith(SUFFIXES)


def _path(text: str) -> PathRef | None:
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.I):
        raise IdentifierError(f"'{_short(text)}': web addresses are not fetched; give the ID, or download the file")
    if ".." in re.split(r"[/\\]", text):
        raise IdentifierError(f"'{_short(text)}': a path may not go up with '..'")
    return PathRef(text) if text.isprintable() and text.strip() and '"' not in text else None


def _plate(text: str, survey: str, release: str) -> Ref | None:
    match = _PLATE.fullmatch(text)
    if match is not None:
        plate, mjd, fiber = map(int, match.groups())
    elif (match := _SPSPEC.fullmatch(text)) is not None:
        mjd, plate, fiber = map(int, match.groups())
    else:
        return None
    if mjd not in PLATE_MJD or fiber not in FIBERS or plate < 1:
        if " " in text:  # three numbers in a row may be anything
            return None
        raise IdentifierError(
            f"'{text}': read as plate-mjd-fiber, but mjd {mjd} or fiber {fiber} cannot be; nights are "
            f"{PLATE_MJD[0]} to {PLATE_MJD[-1]}, fibres 1 to {FIBERS[-1]}"
        )
    return SdssRef(plate, mjd, fiber, release=release or None)


def _field(text: str, survey: str, release: str) -> Ref | None:
    match = _FIELD.fullmatch(text)
    if match is None:
        return None
    fieldid, mjd, catalogid = map(int, match.groups())
    if mjd not in FIELD_MJD or catalogid == 0:
        if " " in text:
            return None
        raise IdentifierError(f"'{text}': read as field-mjd-catalogid, but SDSS-V has no night {mjd}")
    return SdssVRef(fieldid, mjd, catalogid, release=release or None)


def _target(text: str, survey: str, release: str) -> Ref | None:
    """A TARGETID with survey, program and healpix in any order and any spelling; or alone, after desi:."""
    parts = re.split(r"[-_/\s:]+", re.sub(r"^coadd[-_]", "", text.lower()).replace(".fits", ""))
    numbers = [int(part) for part in parts if re.fullmatch(r"\d{1,19}", part, re.A)]
    surveys = [part for part in parts if part in DESI_SURVEYS]
    programs = [part for part in parts if part in DESI_PROGRAMS]
    if len(numbers) + len(surveys) + len(programs) != len(parts) or len(surveys) > 1 or len(programs) > 1:
        return None
    if not surveys and (programs or survey != "DESI" or len(numbers) != 1):
        return None
    targets = [number for number in numbers if number >= 1 << 32]
    pixels = [number for number in numbers if number in PIXELS]
    if len(targets) != 1 or len(numbers) != 1 + len(pixels) or len(pixels) > 1 or (pixels and not programs):
        if survey == "DESI" and len(numbers) == 1 and not surveys:
            raise IdentifierError(f"'{text}': too small for a TARGETID, which holds a release and a brick of imaging")
        return None
    if targets[0] >= 1 << 63:
        raise IdentifierError(f"'{text}': beyond 63 bits, so no TARGETID")
    place = (next(iter(surveys), None), next(iter(programs), None), next(iter(pixels), None))
    return DesiRef(targets[0], *place, release=release or None)


def _number(text: str, survey: str, release: str) -> Ref | None:
    """A bare 64-bit number: what its bits would mean decides; where two surveys could mean it, neither is taken."""
    if not re.fullmatch(r"\d{15,20}", text, re.A) or int(text) >= 1 << 64:
        return None
    number = int(text)
    if release == "dr7":
        return from_old_specobjid(number)
    readings: dict[str, Callable[[], Ref | None]] = {
        "specObjID": lambda: from_specobjid(number, release or None),
        "specObjID of DR7": lambda: from_old_specobjid(number),
        "DESI": lambda: DesiRef(number, release=release or None) if is_targetid(number) else None,
    }
    allowed = [key for key in readings if not survey or key.startswith("specObjID" if survey == "SDSS" else survey)]
    meant = {key: ref for key in allowed if (ref := readings[key]()) is not None}
    if len(meant) > 1:
        choices = tuple(meant.values())
        told = ", or ".join(f"{key} ({ref.name})" for key, ref in meant.items())
        raise IdentifierError(f"'{text}' is ambiguous: {told}", choices)
    return next(iter(meant.values()), None)


def _checked(ref: Ref, survey: str, release: str, text: str) -> Ref:
    """The Ref, if it is of the survey and of a release that were named with it."""
    wanted = "SDSS" if survey == "specObjID" else survey
    if wanted and ref.survey != wanted and not (wanted == "SDSS" and ref.survey == "SDSS-V"):
        raise IdentifierError(f"'{text}': is no ID of {wanted} but of {ref.survey}")
    if release and release != "dr7" and release not in _BY_SURVEY[ref.survey]:
        known = ", ".join(_BY_SURVEY[ref.survey])
        raise IdentifierError(f"'{text}': {ref.survey} has no release {release} here; there are {known}")
    return ref


def _why(word: str) -> str:
    """What is wrong with a word that names nothing."""
    if _THREE.fullmatch(word):
        return f"'{_short(word)}' is neither plate-mjd-fiber (3-5, 5 and 1-4 digits) nor field-mjd-catalogid"
    if re.fullmatch(r"-?\d+", word, re.A) and len(word) >= 15:
        return f"'{_short(word)}' makes no sense as specObjID (plate, night, fibre, reduction) or TARGETID (brick)"
    if re.match(r"(SDSS|DESI)?J\d{4,}", word, re.I | re.A):
        return f"'{_short(word)}' is a name by position, which no archive files spectra under"
    return f"'{_short(word)}' is no ID"


def _short(text: str) -> str:
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= 60 else f"{clean[:57]}..."
