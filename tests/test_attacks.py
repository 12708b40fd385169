"""Attacks by name: files that claim, grow or point beyond what they are; text that would run; ways out of a folder."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from engine import ArchiveError, CatalogueError, IdentifierError, SpectrumError, read, read_population, write_catalogue
from engine.archive import Archive
from engine.archive.cache import Cache
from engine.archive.sparcl import Sparcl
from engine.archive.web import BadAnswer, Web
from engine.identifiers import DesiRef, resolve
from engine.readers import fallback
from engine.readers.units import _parse
from gasnet_app.intake import Upload, open_catalogue

SCRIPT = "<img src=x onerror=alert(1)>"
HEAD = b"object_id,class,z,zerr,snr"


def file_of(*hdus: fits.hdu.base._BaseHDU) -> bytes:
    out = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(out)
    return out.getvalue()


def lying(content: bytes, card: str, claim: object) -> bytes:
    """The file with another value of a card, where that stands first."""
    at = content.index(card.ljust(8).encode() + b"=")
    return content[:at] + f"{card:8s}= {claim!s:>20s}".ljust(80).encode() + content[at + 80 :]


def a_table(form: str = "D") -> bytes:
    rows = np.linspace(4000, 5000, 50)
    return file_of(fits.BinTableHDU.from_columns([fits.Column(n, form, array=rows) for n in ("wave", "flux")]))


# --- claims ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("card", "claim"), [("NAXIS2", 10**9), ("NAXIS1", 2**62), ("PCOUNT", 2**62), ("TFIELDS", 10**9), ("GCOUNT", 10**9)]
)
def test_a_table_that_claims_more_than_the_file_holds_is_refused(card: str, claim: int) -> None:
    with pytest.raises(SpectrumError, match=r"^a\.fits: .*(truncated|damaged)"):
        read(lying(a_table(), card, claim), name="a.fits")


@pytest.mark.parametrize("reader", [lambda data: read(data, name="a.fits"),
                                    lambda data: open_catalogue(Upload("a.fits", data))])  # fmt: skip
def test_two_thousand_million_axes_are_not_counted(reader) -> None:
    content = lying(a_table(), "NAXIS", 2**31 - 1)
    try:
        assert reader(content) is None  # no catalogue: the readers of spectra say what is wrong
    except SpectrumError as error:
        assert "NAXIS" in str(error)  # noqa: PT017 - either outcome is right


def test_pointers_into_a_heap_are_never_followed() -> None:
    """Half a million pointers to the same two megabytes are a terabyte once they are followed."""
    wave = np.linspace(4000, 5000, 50)
    flux = fits.Column("flux", "PD()", array=np.array([np.ones(9)] * 50, object))
    content = file_of(fits.BinTableHDU.from_columns([fits.Column("wave", "D", array=wave), flux]))
    heap = content.index(np.array([9, 0], ">i4").tobytes())
    far = content[:heap] + np.array([2**31 - 1, 2**31 - 1], ">i4").tobytes() + content[heap + 8 :]
    for data in (content, far):
        with pytest.raises(SpectrumError, match="hold no numbers"):
            read(data, name="a.fits")


def test_thirty_thousand_cards_are_read_and_a_million_are_not() -> None:
    header, cards = a_table()[:2880], b"".join(b"K%-7d= 1".ljust(81)[:80] % i for i in range(30_000))
    end = header.index(b"END     ")
    for times, said in ((1, "no data"), (2, "damaged or truncated")):
        raw = header[:end] + cards * times + b"END".ljust(80)
        with pytest.raises(SpectrumError, match=said):
            read(raw + b" " * (-len(raw) % 2880), name="a.fits")


@pytest.mark.parametrize("door", ["read", "catalogue"])
def test_a_gzip_bomb_is_refused_at_either_door(door: str) -> None:
    bomb = gzip.compress(a_table() + bytes(80 * 2**20), 1)
    with pytest.raises(SpectrumError, match="grows beyond"):
        read(bomb, name="a.fits.gz")
    with pytest.raises(CatalogueError, match="grows beyond"):
        read_population(io.BytesIO(bomb), "a.fits.gz")


def test_a_parquet_file_that_says_the_same_a_thousand_million_times_is_refused() -> None:
    column = pa.array(np.zeros(1_500_000))
    out = io.BytesIO()
    pq.write_table(pa.table({name: column for name in [*HEAD.decode().split(","), *map(str, range(12))]}), out)
    assert len(out.getvalue()) < 200_000
    with pytest.raises(CatalogueError, match="1,500,000 rows of 17 columns"):
        read_population(out, "a.parquet")


@pytest.mark.parametrize(
    ("content", "said"),
    [(HEAD + b"\n" + b"x" * 300_000 + b",S,1,1,1\n" + b"a,S,1,1,1\n" * 900, "has 300,008 characters"),
     (HEAD + b",c" * 200_000 + b"\n", "characters of column names")],
)  # fmt: skip
def test_one_long_cell_or_line_does_not_make_every_row_as_long(content: bytes, said: str) -> None:
    with pytest.raises(CatalogueError, match=said):
        read_population(io.BytesIO(content), "a.csv")


def test_a_nest_of_yaml_aliases_is_never_printed() -> None:
    nest = ["# - a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    nest += [f"# - a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    columns = [f"# - {{name: {name}, datatype: float64}}" for name in ("wave", "flux")]
    lines = ["# %ECSV 1.0", "# ---", "# datatype:", *columns, "# meta: !!omap", *nest, "# - object: *a11", "wave flux"]
    (found,) = read("\n".join([*lines, "5000 1", "5001 2", ""]).encode(), name="a.ecsv")
    assert found.object_id == "a"


@pytest.mark.parametrize("unit", ["10**9999999999 m", "(10**99)**999 m", "m" + "*m" * 5000])
def test_a_unit_is_no_sum_to_work_at_for_ever(unit: str) -> None:
    assert _parse(unit) is None


def test_a_first_line_of_a_million_blanks_is_refused() -> None:
    with pytest.raises(SpectrumError, match="a first line of 1,000,011 characters"):
        read(b"wave,a" + b" " * 1_000_000 + b",flux\n1,2,3\n", name="a.csv")


# --- what is never unpacked, loaded or asked ------------------------------------------------------------------------


def test_a_compressed_image_is_refused_and_not_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    content = file_of(fits.CompImageHDU(np.ones((64, 64), np.int16)))
    monkeypatch.setattr(fits.CompImageHDU, "__init__", lambda *_, **__: pytest.fail("decompressed"))
    assert open_catalogue(Upload("a.fits", content)) is None
    with pytest.raises(SpectrumError, match="compressed image"):
        read(content, name="a.fits")


def _npz(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, flux=array)
    return out.getvalue()


def _zip_bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("spec.fits", bytes(2**25))
    return out.getvalue()


@pytest.mark.parametrize("content", [pickle.dumps({"flux": 1}), _npz(np.array([{}], object)), _zip_bomb()])
@pytest.mark.parametrize("name", ["a.fits", "a.npz", "a.csv"])
def test_pickles_and_archives_are_refused_by_their_first_bytes(name: str, content: bytes) -> None:
    with pytest.raises(SpectrumError, match=r"pickle, which is never loaded|ZIP or NumPy"):
        read(content, name=name)


def test_wcslib_sees_no_card_that_a_spectrum_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    import specutils

    seen: list[fits.Header] = []

    def look(stream: io.BytesIO) -> None:
        with fits.open(stream) as hdus:
            seen.extend(hdu.header.copy() for hdu in hdus)
        raise ValueError("seen")

    for kind in (specutils.Spectrum, specutils.SpectrumList):
        monkeypatch.setattr(kind, "read", look)
    image = fits.ImageHDU(np.ones((3, 50)))
    needed = {"CTYPE1": "WAVE", "CRVAL1": 4000.0, "CDELT1": 1.0, "CRPIX1": 1.0}
    image.header.update(needed)
    image.header.update(
        {"WCSAXES": 30000, "PV1_1": 1.0, "PS1_0": "x", "CTYPE1A": "WAVE", "OBSGEO-X": 1.0, "A_ORDER": 9}
    )
    with pytest.raises(SpectrumError, match="seen"):
        read(file_of(image), name="a.fits")
    assert {key: seen[1][key] for key in needed} == needed
    assert not any(fallback._WCS.match(str(card).encode()) for card in seen[1].cards)


# --- text that would run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["U", "S", "O"])
def test_no_cell_and_no_column_name_of_a_csv_is_a_formula(kind: str, tmp_path: Path) -> None:
    cells = np.array(["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "-12"]).astype(kind)
    table = Table({"object_id": cells, "=HYPERLINK(1)": np.arange(5)})
    write_catalogue(table, tmp_path / "a.csv")
    back = Table.read(tmp_path / "a.csv", format="ascii.csv", guess=False)
    assert back["object_id"].tolist() == ["'=cmd|' /C calc'!A0", "'+1+1", "'-2+3", "'@SUM(1)", "-12"]
    assert back.colnames == ["object_id", "'=HYPERLINK(1)"]


def test_a_name_from_a_file_is_one_printable_line() -> None:
    rows = "\n".join(f"{w},{w % 7}" for w in range(5000, 5050))
    (found,) = read(f"# object = a\x1b[2J{SCRIPT}\nwave,flux\n{rows}\n".encode(), name="a.csv")
    assert found.object_id == f"a\\x1b[2J{SCRIPT}"
    with pytest.raises(SpectrumError) as caught:
        read(f"x\x1b[2J\x07,{'y' * 3000},{SCRIPT}\n1,2,3\n".encode(), name="b.csv")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 1000


# --- ways out -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["../secret.fits", "/etc/passwd", "file:../secret.fits", "a/../../secret.fits",
             "..\\secret.fits", "way/out.fits",
             "4most:../secret", "file:///etc/passwd", "~/secret.fits", "a\0.fits", "x" * 5000 + ".fits"],
)  # fmt: skip
def test_no_id_leaves_the_data_folder(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret.fits").write_bytes(a_table())
    (folder / "way").mkdir()
    (folder / "way" / "out.fits").symlink_to(tmp_path / "secret.fits")
    archive = Archive(folder, Cache(tmp_path / "cache"), web=Web(()))
    with pytest.raises((IdentifierError, ArchiveError)):
        archive.fetch(resolve(text)[0])


@pytest.mark.parametrize("there", ["http://127.0.0.1/x", "https://data.sdss.org@evil.example/x", "//evil.example/x",
                                   "file:///etc/passwd", "https://data.sdss.org:8443/x",
                                   "http://[", "http://data.sdss.org/"])  # fmt: skip
def test_a_redirect_elsewhere_is_refused(there: str) -> None:
    with pytest.raises(BadAnswer, match="redirects"):
        Web(["data.sdss.org"])._next("https://data.sdss.org/sas/a.fits", there, 3)


def test_a_length_that_is_no_number_is_an_archives_fault_and_not_ours() -> None:
    class Answer:
        headers = {"Content-Length": "1e9"}  # noqa: RUF012 - as an answer has it

    with pytest.raises(BadAnswer, match="Content-Length"):
        Web(["data.sdss.org"])._body(Answer(), 10, "data.sdss.org")  # type: ignore[arg-type]


TWO = [{}, {"sparcl_id": "a", "data_release": "DESI-DR1"}, {"sparcl_id": "b", "data_release": "DESI-DR1"}]


@pytest.mark.parametrize(
    "place", [{"survey": "../.."}, {"program": "../up"}, {"healpix": "x"}, {"survey": {}}, {"survey": "a\n"}]
)
def test_an_archives_answer_names_no_folder(place: dict) -> None:
    class Played:
        answers = iter([json.dumps(TWO), json.dumps([{}, *({**record, **place} for record in TWO[1:])])])

        def post(self, *_: object) -> bytes:
            return next(self.answers).encode()

    with pytest.raises(BadAnswer, match="unknown form"):
        Sparcl(Played(), "https://sparcl.example/x").fetch(DesiRef(39632936152072660))  # type: ignore[arg-type]


def test_an_archives_answer_nested_too_deep_is_its_fault() -> None:
    class Played:
        def post(self, *_: object) -> bytes:
            return b"[" * 200_000

    with pytest.raises(BadAnswer, match="unknown form"):
        Sparcl(Played(), "https://sparcl.example/x").fetch(DesiRef(39632936152072660))  # type: ignore[arg-type]
