"""SPARCL: NOIRLab's spectra service, asked over its REST interface with JSON (github.com/astro-datalab/sparclclient).

Its client package is not used: it pins old pandas and NumPy, asks the network when it is made and can read pickles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from engine.archive.sdss import runs
from engine.archive.web import ArchiveError, BadAnswer, NotFound, Web
from engine.identifiers import DesiRef, Ref, SdssRef, specobjid

DATASETS = {"dr1": ("DESI-DR1",), "edr": ("DESI-EDR",), "dr17": ("SDSS-DR17", "BOSS-DR17"),
            "dr16": ("SDSS-DR16", "BOSS-DR16")}  # fmt: skip
NEWEST = ("dr1", "edr")  # DR1 holds EDR's observations, reduced anew
PLACE = ("survey", "program", "healpix")
FIELDS = ("sparcl_id", "specid", "data_release", "flux", "wavelength", "ivar", "mask", "redshift", "redshift_err",
          "redshift_warning", "spectype", "ra", "dec", "targetid")  # fmt: skip
MOST_FOUND = 50


class Ambiguous(ArchiveError):
    """An ID that several spectra share. choices: Refs that name one each."""

    def __init__(self, message: str, choices: tuple[Ref, ...]) -> None:
        super().__init__(message)
        self.choices = choices


def one_of(ref: Ref, choices: Sequence[Ref]) -> Ref:
    """The only choice, or Ambiguous with all of them."""
    distinct = tuple(dict.fromkeys(choices))
    if len(distinct) > 1:
        names = ", ".join(choice.name for choice in distinct)
        raise Ambiguous(f"{ref.name}: is the ID of {len(distinct)} spectra; choose one of {names}", distinct)
    return distinct[0]


@dataclass(frozen=True)
class Sparcl:
    """The service at a base URL."""

    web: Web
    url: str

    def fetch(self, ref: SdssRef | DesiRef) -> tuple[bytes, str]:
        """(JSON of one spectrum, URL it came from). Raises Ambiguous when several spectra have the ID."""
        try:
            return self._fetch(ref)
        except ArchiveError:
            raise
        except Exception as error:  # an answer may hold anything in the place of anything
            raise BadAnswer(f"{self._host} answered in an unknown form ({type(error).__name__}); try again") from error

    def _fetch(self, ref: SdssRef | DesiRef) -> tuple[bytes, str]:
        record = self._target(ref) if isinstance(ref, DesiRef) else self._plate(ref)
        include = [*FIELDS, *(PLACE if isinstance(ref, DesiRef) else ())]
        data, url = self._retrieve([record["sparcl_id"]], include, [record["data_release"]])
        if not any("wavelength" in answered for answered in _records(data, url)):
            raise BadAnswer(f"{self._host} answered without a spectrum")
        return data, f"{url}#{record['sparcl_id']}"

    def _target(self, ref: DesiRef) -> dict[str, Any]:
        for release in (ref.release,) if ref.release else NEWEST:
            found = self._find([ref.targetid], DATASETS[release])
            told = any((ref.desi_survey, ref.program, ref.healpix is not None))
            if len(found) > 1 or (found and told):
                ids = [record["sparcl_id"] for record in found]
                data, url = self._retrieve(ids, ["sparcl_id", "data_release", *PLACE], DATASETS[release])
                places = {_place(ref, r, release): r for r in _records(data, url) if _agrees(ref, r)}
                if places:
                    return places[one_of(ref, list(places))]  # type: ignore[index]
            elif found:
                return found[0]
        raise NotFound(f"{self._host} has no such spectrum")

    def _plate(self, ref: SdssRef) -> dict[str, Any]:
        datasets = DATASETS.get(ref.release or "dr17", ())
        if datasets and (found := self._find([specobjid(ref, run) for run in runs(ref)], datasets)):
            return found[0]
        raise NotFound(f"{self._host} has no such spectrum")

    def _find(self, specids: Sequence[int], datasets: Sequence[str]) -> list[dict[str, Any]]:
        url = f"{self.url}/find/?{urlencode({'limit': MOST_FOUND})}"
        question = {
            "outfields": ["sparcl_id", "specid", "data_release"],
            "search": [["specid", *specids], ["data_release", *datasets]],
        }
        found = _records(self.web.post(url, question), url)
        if any(not {"sparcl_id", "data_release"} <= record.keys() for record in found):
            raise BadAnswer(f"{self._host} answered without the ids that were asked for")
        return found

    def _retrieve(self, ids: Sequence[str], include: Sequence[str], datasets: Sequence[str]) -> tuple[bytes, str]:
        options = {"include": ",".join(include), "format": "json", "dataset_list": ",".join(datasets)}
        url = f"{self.url}/spectras/?{urlencode(options)}"
        return self.web.post(url, list(ids)), url

    @property
    def _host(self) -> str:
        return self.url.split("/")[2]


def _records(data: bytes, url: str) -> list[dict[str, Any]]:
    """The records of an answer; its first element describes the answer itself."""
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise BadAnswer(f"{url.split('/')[2]} answered with something that is no JSON; try again later") from error
    if not isinstance(answer, list) or not all(isinstance(record, dict) for record in answer):
        raise BadAnswer(f"{url.split('/')[2]} answered in an unknown form; try again later")
    return answer[1:]


def _agrees(ref: DesiRef, record: dict[str, Any]) -> bool:
    wanted = (ref.desi_survey, ref.program, ref.healpix)
    return all(w is None or record.get(k) in (w, None) for w, k in zip(wanted, PLACE, strict=True))


def _place(ref: DesiRef, record: dict[str, Any], release: str) -> DesiRef:
    survey, program, healpix = (record.get(key) for key in PLACE)
    if not all(word is None or re.fullmatch("[a-z0-9]{1,20}", word) for word in (survey, program)):
        raise ValueError(f"survey {survey!r}, program {program!r}")  # they become part of a file's name
    return DesiRef(ref.targetid, survey, program, healpix if healpix is None else int(healpix), release=release)
