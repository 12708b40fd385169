"""Where SDSS keeps the file of a spectrum: paths below the Science Archive Server, in the order to try them.

Sources: astroquery's SPECTRA_URL_SUFFIX (DR8 to DR17), github.com/sdss/tree dr18.cfg and dr19.cfg with sdss_access's
rules for padding (SDSS-V). The lite files are asked for first: they hold the coadd and the catalogue row, no exposures.
"""

from __future__ import annotations

from engine.identifiers import SdssRef, SdssVRef

RELEASE = "dr17"  # the last of plates, and it holds all earlier ones
BOSS_FIRST = 55_170  # night from which plates were observed with the BOSS spectrographs
LEGACY, BOSS = ("26", "103", "104"), ("v5_13_2", "v5_13_0")
# Releases that published the older reductions, which their specObjIDs name.
_RELEASE_OF = {"v5_4_45": "dr9", "v5_5_12": "dr10", "v5_6_5": "dr11", "v5_7_0": "dr12", "v5_7_2": "dr12",
               "v5_9_0": "dr13", "v5_10_0": "dr14"}  # fmt: skip
_FIELD_RUNS = {"dr19": ("v6_1_3",), "dr18": ("v6_0_4",)}


def runs(ref: SdssRef) -> tuple[str, ...]:
    """Reductions that a spectrum may be in: the one its ID told, else those of its epoch."""
    return (ref.run2d,) if ref.run2d else BOSS if ref.mjd >= BOSS_FIRST else LEGACY


def paths(ref: SdssRef | SdssVRef) -> list[str]:
    """Relative paths of the file in the order to try them."""
    return _fields(ref) if isinstance(ref, SdssVRef) else _plates(ref)


def _plates(ref: SdssRef) -> list[str]:
    found = []
    for run in runs(ref):
        release = ref.release or _RELEASE_OF.get(run, RELEASE)
        number = int(release[2:])
        trees = ["spectro/sdss/redux"] if number >= 18 else ["sdss/spectro/redux"]
        if run.startswith("v") and number < 18:
            trees.append("eboss/spectro/redux" if number >= 13 else "boss/spectro/redux")
        name = f"spec-{ref.plate:04d}-{ref.mjd}-{ref.fiber:04d}.fits"
        for tree in trees:
            kinds = ("spectra/lite", "spectra/full" if run.startswith("v") else "spectra")
            found += [f"{release}/{tree}/{run}/{kind}/{ref.plate:04d}/{name}" for kind in kinds]
    return found


def _fields(ref: SdssVRef) -> list[str]:
    found = []
    for release in (ref.release,) if ref.release else _FIELD_RUNS:
        for run in _FIELD_RUNS[release]:
            trees, field, ids = ["spectro/boss/redux"], f"{ref.fieldid:06d}", [f"{ref.catalogid}"]
            folder = f"{field}/{ref.mjd}"
            if release == "dr18":  # the sources disagree on the tree and on zeros before the number
                trees, field = ["spectro/sdss/redux", *trees], f"{ref.fieldid}"
                folder, ids = f"{field}p/{ref.mjd}", [f"{ref.catalogid:011d}", *ids]
            for tree in trees:
                for number in dict.fromkeys(ids):
                    name = f"spec-{field}-{ref.mjd}-{number}.fits"
                    found.append(f"{release}/{tree}/{run}/spectra/lite/{folder}/{name}")
    return found
