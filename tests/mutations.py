"""Hostile files: a corpus of small good ones in every format that is read, and a seeded mutator that spoils them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import makers
import numpy as np
from astropy.io import fits
from astropy.table import Table
from makers import galaxy, make_sdss, make_table

ASSETS = Path(__file__).resolve().parents[1] / "assets" / "spectra"

# Values of FITS cards that headers lie with, and words that text is broken by.
LIES = (
    "-1", "0", "1", "999", "1000", "2147483647", "2147483648", "9223372036854775807", "99999999999999999999", "1E400",
    "-1E308", "NaN", "T", "'A'", "'-TAB'", "'WAVE-TAB'", "'1PE(999999999)'", "'QE(2000000000)'", "'999999999E'",
    "'0E'", "'(99999,99999)'", "'3C'", "'100000000A'", "'BINTABLE'", "'IMAGE'", "'TABLE'", "'FLUX'", "'LOGLAM'",
    "'RICE_1'", "'\x1b[2J'", "'<script>alert(1)</script>'", "'" + "x" * 60 + "'", "", "= = =",
)  # fmt: skip
KEYS = (
    "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "PCOUNT", "GCOUNT", "TFIELDS", "THEAP", "TFORM1", "TFORM2",
    "TFORM3", "TTYPE1", "TTYPE2", "TTYPE3", "TDIM1", "TDIM2", "TSCAL1", "TZERO1", "TNULL1", "TUNIT1", "TUNIT2",
    "BSCALE", "BZERO", "BLANK", "XTENSION", "EXTNAME", "ZIMAGE", "ZCMPTYPE", "CRVAL1", "CDELT1", "CD1_1", "CRPIX1",
    "CTYPE1",
    "CUNIT1", "COEFF0", "COEFF1", "DC-FLAG", "WCSDIM", "WAT1_001", "BUNIT", "TELESCOP", "CONTINUE", "HIERARCH", "END",
    "SIMPLE", "EXTEND", "GROUPS", "INHERIT", "PLATEID", "MJD", "FIBERID", "OBJECT",
)  # fmt: skip
WORDS = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b"'", b",", b",,,,", b"\n\n", b"\r", b"#", b"nan", b"inf", b"-1e999",
    b"1e-400", b"99999999999999999999999", b"1_0", b"=cmd|' /C calc'!A0", b"@SUM(1)", b"<script>alert(1)</script>",
    b"\x1b]0;x\x07", b"!!python/object/apply:os.system ['true']", b"!<tag:yaml.org,2002:omap>", b"*a", b"&a [*a]", b"{",
    b"[", b"[[[[[[[[", b"../../../etc/passwd", b"file:///etc/passwd", b"http://127.0.0.1:1/", b"%s%n", b"\xe2\x80\xae",
    b"datatype: object", b"datatype: string, subtype: json", b"cnN5c3RlbQ", b"\x80\x04\x95", b"\x1f\x8b\x08",
    b"SIMPLE  =",
)  # fmt: skip
PLAIN = ("cut", "byte", "digit", "drop", "run", "card", "bits", "number", "word", "repeat", "splice")


def spectra(folder: Path) -> dict[str, bytes]:
    """Small files of every format of spectra by name, and some that must be refused."""
    short = galaxy(n=300, loglam_min=3.7)
    columns = dict(zip(("wave", "flux", "ivar"), short, strict=True))
    ragged = fits.BinTableHDU.from_columns([
        fits.Column("WAVE", "PD()", array=np.array([short[0], short[0][:9]], object)),
        fits.Column("FLUX", "PD()", array=np.array([short[1], short[1][:9]], object)),
    ])  # fmt: skip
    fits.HDUList([fits.PrimaryHDU(), ragged]).writeto(folder / "ragged.fits")
    packed = fits.CompImageHDU(np.ones((32, 32), np.int16))
    fits.HDUList([fits.PrimaryHDU(), packed]).writeto(folder / "packed.fits")
    numbers = ",".join(f"{v:.4f}" for v in short[1])
    waves = ",".join(f"{v:.4f}" for v in short[0])
    record = '{"specid": 1, "data_release": "DESI-DR1", "targetid": 39627835576420141, "ra": 1.5, "redshift": 0.1,'
    (folder / "sparcl.json").write_text(
        f'[{{"status": {{}}}}, {record} "spectype": "GALAXY", "flux": [{numbers}], "wavelength": [{waves}]}}]'
    )
    files = [
        make_sdss(folder / "sdss.fits", *short, label={"spectype": "GALAXY", "z": 0.1}),
        makers.make_spspec(folder / "spspec.fits", *short),
        makers.make_desi(folder / "desi.fits", 1, "B", redshifts=True),
        makers.make_sv0(folder / "sv0.fits", 1),
        makers.make_lamost(folder / "lamost.fits"),
        makers.make_lamost(folder / "lamost.fits.gz", style="table"),
        makers.make_sixdf(folder / "sixdf.fits"),
        makers.make_wcs1d(folder / "wcs.fits"),
        *(make_table(folder / f"t.{e}", columns, {"wave": "Angstrom"}) for e in ("fits", "ecsv", "csv", "txt")),
        folder / "ragged.fits", folder / "packed.fits", folder / "sparcl.json", min(ASSETS.glob("*.fits")),
    ]  # fmt: skip
    return {path.name: path.read_bytes() for path in files}


def catalogues(folder: Path) -> dict[str, bytes]:
    """A small catalogue in each of its formats."""
    rows = Table({"object_id": [f"o{i}" for i in range(20)], "class": ["STAR", "QSO"] * 10, "z": np.linspace(0, 2, 20),
                  "zerr": np.full(20, 1e-4), "snr": np.full(20, 9.0), "path": [f"{i}.fits" for i in range(20)],
                  "zwarn": np.arange(20), "ra": np.linspace(0, 9, 20), "dec": np.zeros(20)})  # fmt: skip
    for ending, form in (("ecsv", "ascii.ecsv"), ("csv", "ascii.csv"), ("fits", "fits")):
        rows.write(folder / f"c.{ending}", format=form)
    rows.to_pandas().to_parquet(folder / "c.parquet")
    (folder / "c.fits.gz").write_bytes(gzip.compress((folder / "c.fits").read_bytes()))
    return {path.name: path.read_bytes() for path in sorted(folder.glob("c.*"))}


def texts() -> dict[str, bytes]:
    """Lists of IDs, and other programs' files of inspections."""
    vi = (
        "TARGETID,EXPID,NIGHT,TILEID,Spec_version,Redrock_version,Template_version,Redrock_spectype,Redrock_z,"
        "Redrock_deltachi2,VI_scanner,VI_quality,VI_issue,VI_z,VI_spectype,VI_comment\n"
        "39627835576420141,-1,-1,-1,-1,0.17,-1,GALAXY,0.1,-1,ABC,4,RS,0.12,GALAXY,fine\n"
    )
    mz = (
        '# Results generated by ABC for file [[x]] at 01/01/2026, 00:00:00 (JSON: "") at version {{1.3.8}}\n'
        "#ID,  Name,  RA,  DEC,  Mag,  Type,  "
        "AutoTID,  AutoTN,  AutoZ,  AutoXCor,  FinTID,  FinTN,  FinZ,  QOP,  Comment\n"
        " 0001,  a1,  ,  ,  ,  SDSS,  5,  G Star,  0.00010,  0.0,  12,  Quasar,  1.50000,  4,  good\n"
    )
    ids = (
        'spec-0751-52251-0160.fits, desi:39632936152072660;dr17:751-52251-160 "a b.fits"\n4most:x.1 /etc/passwd ../x\n'
    )
    return {"vi.csv": vi.encode(), "marz.mz": mz.encode(), "ids.txt": ids.encode()}


def mutated(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    """A copy spoilt in one to four places; most of a gzipped one is spoilt inside."""
    zipped = content[:2] == b"\x1f\x8b"
    inside = zipped and random.random() < 0.8
    if inside:
        content = gzip.decompress(content)
    for _ in range(random.integers(1, 5)):
        content = _spoilt(content, others, random)
    return gzip.compress(content, 1) if inside else content


def _spoilt(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    if len(content) < 2:
        return bytes(random.integers(0, 256, 3, dtype=np.uint8))
    if content.startswith(b"SIMPLE") and random.random() < 0.4:
        return _lying(content, random)
    kind = PLAIN[random.integers(len(PLAIN))]
    # Half of the damage goes to the first blocks, where the headers are.
    at = int(random.random() ** (3 if random.random() < 0.5 else 1) * (len(content) - 1))
    length, value = int(random.integers(1, 400)), int(random.integers(256))
    before, after = content[:at], content[at:]
    if kind == "splice":
        other = others[random.integers(len(others))]
        start = int(random.integers(max(len(other) - 1, 1)))
        return before + other[start : start + 10 * length] + after[length:]
    card = at // 80 * 80
    extremes = (0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
    number = extremes[random.integers(len(extremes))].to_bytes(8, "big", signed=True)
    word = WORDS[random.integers(len(WORDS))]
    results: dict[str, Callable[[], bytes]] = {
        "cut": lambda: before,
        "byte": lambda: before + bytes([value]) + after[1:],
        "digit": lambda: before + b"%d" % (value % 10) + after[1:],
        "drop": lambda: before + after[length:],
        "run": lambda: before + bytes([value]) * length + after[length:],
        "card": lambda: content[:card] + b" " * 80 + content[card + 80 :],
        "bits": lambda: before + bytes([after[0] ^ (1 << value % 8)]) + after[1:],
        "number": lambda: before + (number if value % 2 else number[4:]) + after[8 if value % 2 else 4 :],
        "word": lambda: before + word + after[len(word) if value % 2 else 0 :],
        "repeat": lambda: before + after[:length] * (value % 20) + after[length:],
    }
    return results[kind]()


def _lying(content: bytes, random: np.random.Generator) -> bytes:
    """One card of a FITS header with another value, or another card in the place of one."""
    ends = [at for at in range(0, len(content) - 79, 80) if content[at : at + 8] == b"END     "]
    starts = [0, *(end - end % 2880 + 2880 for end in ends)]
    which = int(random.integers(max(len(ends), 1)))
    cards = range(starts[which], (ends[which] if ends else min(len(content), 2880)) + 80, 80)
    at = int(cards[random.integers(max(len(cards), 1))]) if cards else 0
    keep = random.random() < 0.6
    key = content[at : at + 8] if keep else KEYS[random.integers(len(KEYS))].ljust(8).encode()
    value = LIES[random.integers(len(LIES))].encode()
    lie = (key + b"= " + value.rjust(20))[:80].ljust(80)
    return content[:at] + lie + content[at + 80 :]


def identity(content: bytes) -> str:
    """A short name of some bytes."""
    return f"{zlib.crc32(content):08x}"
