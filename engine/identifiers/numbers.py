"""64-bit IDs: SDSS specObjIDs of both layouts and DESI TARGETIDs, told apart by what their bits would mean.

Layouts: SpecObjID in skyserver.sdss.org/dr17 (DR8 and later) and cas.sdss.org/dr7 (before); desitarget's
targetmask.yaml (TARGETID). Plate, MJD, fibre and reduction, or imaging release and brick, must be ones that exist.
"""

from __future__ import annotations

from engine.identifiers.refs import SdssRef

PLATE_MJD = range(51_000, 60_001)  # nights of SDSS I to IV
FIELD_MJD = range(59_000, 70_000)  # nights of SDSS-V
PLATES, FIBERS = range(266, 20_000), range(1, 1001)
OLD_FIBERS = range(1, 641)
LEGACY_RUNS = (26, 103, 104)  # reductions of SDSS I and II, SEGUE-1, SEGUE-2; later ones are called vN_M_P
BOSS_RUNS = range(400, 1 << 14)
BRICKS = range(1, 662_175)
IMAGING = range(7000, 10_000)  # releases of the Legacy Surveys that DESI's targets come from


def from_specobjid(number: int, release: str | None = None) -> SdssRef | None:
    """The Ref of a specObjID of DR8 and later; None when its bits do not make sense as one."""
    plate, fiber, mjd = number >> 50, (number >> 38) & 0xFFF, 50_000 + ((number >> 24) & 0x3FFF)
    run = (number >> 10) & 0x3FFF
    if plate not in PLATES or fiber not in FIBERS or mjd not in PLATE_MJD or number & 0x3FF:
        return None
    if run in LEGACY_RUNS:
        return SdssRef(plate, mjd, fiber, str(run), release=release)
    if run in BOSS_RUNS:
        return SdssRef(plate, mjd, fiber, f"v{run // 10_000 + 5}_{run // 100 % 100}_{run % 100}", release=release)
    return None


def from_old_specobjid(number: int) -> SdssRef | None:
    """The Ref of a specObjID of DR7 and earlier: the plate of today's releases; None when it makes no sense as one."""
    plate, mjd, fiber = number >> 48, (number >> 32) & 0xFFFF, (number >> 22) & 0x3FF
    fits = plate in PLATES and mjd in PLATE_MJD and fiber in OLD_FIBERS and not number & 0xFFFF
    return SdssRef(plate, mjd, fiber) if fits else None


def is_targetid(number: int) -> bool:
    """True for the TARGETID of a real target of DESI's imaging; secondary and sky targets need the prefix desi:."""
    return (number >> 42) in IMAGING and ((number >> 22) & 0xFFFFF) in BRICKS
