"""What the readers promise of any FITS file, whatever survey wrote it, and what it costs to leave the catalogue out."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from makers import galaxy, make_sdss

from engine.readers import read
from engine.readers.fitsfile import Hdu, scan
from engine.spectrum import SpectrumError

LABEL = {"spectype": "GALAXY", "subclass": "STARFORMING", "z": 0.1}
COLUMNS = [
    fits.Column("First", "E", array=np.arange(5) + 0.5), fits.Column("TEXT", "7A", array=["a ", "b", "c", "d", ""]),
    fits.Column("YES", "L", array=np.arange(5) < 2), fits.Column("VECTOR", "3D", array=np.arange(15.0).reshape(5, 3)),
    fits.Column("CELLS", "6E", dim="(3,2)", array=np.arange(30.0).reshape(5, 2, 3)),
    fits.Column("BIG", "J", bzero=2**31, array=np.arange(5, dtype=np.uint32) + 2**31),
    fits.Column("WAVES", "C", array=np.ones(5, np.complex64)),
    fits.Column("RAGGED", "PE()", array=np.array([np.ones(i) for i in range(5)], object)),
]  # fmt: skip


def file_of(*hdus: fits.PrimaryHDU | fits.ImageHDU | fits.BinTableHDU) -> bytes:
    """The bytes of a FITS file."""
    file = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(file)
    return file.getvalue()


def hdus_of(content: bytes) -> tuple[Hdu, ...]:
    return scan(io.BytesIO(content), len(content), "x.fits")


def with_card(content: bytes, old: str, new: str) -> bytes:
    """The file with the (last) card that starts with old replaced."""
    at = content.rindex(old.encode())
    return content[:at] + new.ljust(80).encode() + content[at + 80 :]


def test_plain_columns_are_to_the_bit_what_astropy_reads(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    formats = {"B": np.uint8, "I": np.int16, "J": np.int32, "K": np.int64, "E": np.float32, "D": np.float64}
    values = {k: np.frombuffer(rng.bytes(7 * np.dtype(d).itemsize), d) for k, d in formats.items()}
    columns = [fits.Column(k, k, array=v) for k, v in values.items()] + [fits.Column("T", "3A", array=["a"] * 7)]
    (_, hdu) = hdus_of(file_of(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)))
    found = hdu.table(*formats)
    for name, array in values.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes(), name


def test_scaled_columns_and_columns_with_a_null_are_left_to_astropy() -> None:
    columns = [fits.Column("A", "E", bscale=0.5, array=np.arange(5.0)), fits.Column("B", "E"), COLUMNS[5]]
    columns.append(fits.Column("C", "J", null=-1, array=np.arange(5)))
    (_, hdu) = hdus_of(file_of(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)))
    assert list(hdu.head.plain[1]) == [2]


def test_a_header_met_before_is_parsed_once_and_its_file_is_read_anew() -> None:
    first, second = (
        file_of(fits.PrimaryHDU(), fits.BinTableHDU.from_columns([fits.Column("x", "D", array=[1.0 * k, 2.0])]))
        for k in range(2)
    )
    a, b = hdus_of(first)[1], hdus_of(second)[1]
    assert a.head is b.head
    assert [hdu.table("X")["X"].tolist() for hdu in (a, b)] == [[0.0, 2.0], [1.0, 2.0]]
    longer = with_card(second, "NAXIS2", "NAXIS2  =                    1")
    assert hdus_of(longer)[1].table("X")["X"].tolist() == [1.0]


# --- values ---------------------------------------------------------------------------------------------------------


def test_only_the_wanted_columns_come_out_scaled_in_native_order_with_two_axes_at_most() -> None:
    (_, hdu) = hdus_of(file_of(fits.PrimaryHDU(), fits.BinTableHDU.from_columns(COLUMNS)))
    assert (hdu.kind, hdu.shape) == ("BINTABLE", (5,))
    assert list(hdu.columns) == ["FIRST", "TEXT", "YES", "VECTOR", "CELLS", "BIG", "WAVES", "RAGGED"]
    found = hdu.table("FIRST", "TEXT", "YES", "VECTOR", "CELLS", "BIG", "WAVES", "RAGGED", "ABSENT")
    assert set(found) == {"FIRST", "TEXT", "YES", "VECTOR", "CELLS", "BIG"}
    np.testing.assert_array_equal(found["FIRST"], np.arange(5) + 0.5)
    assert list(found["TEXT"]) == ["a", "b", "c", "d", ""]
    assert list(found["YES"]) == [True, True, False, False, False]
    np.testing.assert_array_equal(found["VECTOR"], np.arange(15.0).reshape(5, 3))
    np.testing.assert_array_equal(found["CELLS"], np.arange(30.0).reshape(5, 6))
    np.testing.assert_array_equal(found["BIG"], np.arange(5) + 2**31)
    assert all(values.dtype.isnative for values in found.values())


def test_images_come_out_scaled_and_in_native_order() -> None:
    pixels = np.arange(12, dtype=np.int16).reshape(3, 4)
    unsigned = pixels.astype(np.uint32) + 2**31
    content = file_of(fits.PrimaryHDU(pixels), fits.ImageHDU(unsigned), fits.ImageHDU(pixels.astype(np.float32)))
    content = with_card(content, "BITPIX  =                  -32", f"{'BITPIX  =':10}{-32:20}")
    first, second, third = hdus_of(content)
    for hdu, expected in ((first, pixels), (second, unsigned), (third, pixels)):
        assert hdu.shape == (3, 4)
        np.testing.assert_array_equal(hdu.image(), expected)
        assert hdu.image().dtype.isnative
    scaled = fits.PrimaryHDU(pixels)
    content = file_of(scaled).replace(
        b"EXTEND  =                    T".ljust(80), b"BSCALE  =                  0.5".ljust(80)
    )
    (hdu,) = hdus_of(content)
    np.testing.assert_array_equal(hdu.image(), pixels / 2)


def test_a_boolean_mask_in_a_fits_table_masks() -> None:
    wave, flux, ivar = galaxy()
    columns = {"wave": wave, "flux": flux, "ivar": ivar, "mask": np.arange(wave.size) < 5}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(k, "L" if k == "mask" else "D", array=v) for k, v in columns.items()]
    )
    (spectrum,) = read(file_of(fits.PrimaryHDU(), table))
    assert list(np.flatnonzero(~spectrum.good)) == [0, 1, 2, 3, 4]


def test_a_format_is_recognised_without_making_the_columns_of_any_table(
    sdss_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a table was read")

    monkeypatch.setattr(fits.BinTableHDU, "fromstring", never)
    hdus = hdus_of(sdss_file.read_bytes())
    assert {"CLASS", "Z"} <= hdus[2].columns.keys()


# --- damage ---------------------------------------------------------------------------------------------------------


def test_a_card_that_is_no_fits_costs_that_card_and_no_warning(sdss_file: Path) -> None:
    content = sdss_file.read_bytes()
    at = content.index(b"PLUG_RA =")
    content = content[:at] + b"PLUG_RA = 12:00 'noon".ljust(80) + content[at + 80 :]
    (hdu, *_) = hdus_of(content)
    assert hdu.get("PLUG_RA", 7.0) == 7.0
    assert hdu.get("PLUG_DEC") == 2.25
    (spectrum,) = read(content)
    assert spectrum.object_id == "751-52251-160"


def test_letters_beyond_ascii_are_read_as_question_marks_without_a_warning(sdss_file: Path) -> None:
    content = sdss_file.read_bytes().replace(b"STARFORMING", b"STARFORM\xe9NG").replace(b"SDSS 2.5-M", b"SDSS \xb2.5-M")
    (spectrum,) = read(content)
    assert spectrum.label is not None
    assert spectrum.label.subclass == "STARFORM\ufffdNG"


@pytest.mark.parametrize("hdu", [0, 1, 2])
@pytest.mark.parametrize("inside", ["header", "data"])
def test_a_file_cut_in_any_hdu_is_named_as_truncated(hdu: int, inside: str, sdss_file: Path) -> None:
    content = sdss_file.read_bytes()
    whole = hdus_of(content)[hdu]
    if inside == "data" and not whole.size:
        pytest.skip("no data in this HDU")
    end = whole.offset + 1000 if inside == "header" else whole.end - -whole.size % 2880 - 10
    said = f"HDU {hdu}: damaged or truncated" if inside == "header" else f"truncated: HDU {hdu} .*needs .* bytes"
    with pytest.raises(SpectrumError, match=rf"^x\.fits: {said}"):
        read(content[:end], name="x.fits", catalogue=False)


def test_what_follows_the_last_hdu_is_left_alone(sdss_file: Path) -> None:
    assert read(sdss_file.read_bytes() + bytes(2880) + b"a note")[0].good.any()


def test_the_padding_of_the_last_block_may_lack() -> None:
    content = file_of(fits.PrimaryHDU(np.arange(12.0)))
    (hdu,) = hdus_of(content[: 2880 + 96])
    np.testing.assert_array_equal(hdu.image(), np.arange(12.0))


@pytest.mark.parametrize(
    ("card", "value"),
    [
        ("NAXIS   =", "99999999999999999999"), ("NAXIS   =", "'2'"), ("NAXIS1  =", "-8"), ("NAXIS1  =", "1.5"),
        ("NAXIS2  =", "99999999999999999999"), ("TFIELDS =", "99999999999999"), ("PCOUNT  =", "-99999999"),
        ("BITPIX  =", "'eight'"), ("NAXIS   =", "0"), ("TFIELDS =", "T 'x"), ("XTENSION=", "12"),
        ("PCOUNT  =", "'PD(9)'"), ("GCOUNT  =", "'PD(9)'"), ("BITPIX  =", "7"), ("TFIELDS =", "2.0"),
    ],
)  # fmt: skip
def test_absurd_sizes_are_refused_at_once(card: str, value: str) -> None:
    wave, flux, _ = galaxy()
    table = fits.BinTableHDU.from_columns([fits.Column("wave", "D", array=wave), fits.Column("flux", "D", array=flux)])
    content = with_card(file_of(fits.PrimaryHDU(), table), card, f"{card} {value:>20}")
    start = time.perf_counter()
    with pytest.raises(SpectrumError, match=r"^x\.fits: "):
        read(content, name="x.fits")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("form", ["9999999999D", "Z", "0D", "4D", "D9", "1J", "5A", "PD(9)", ""])
def test_columns_that_do_not_fit_the_rows_are_never_read_as_numbers(form: str) -> None:
    wave, flux, _ = galaxy()
    table = fits.BinTableHDU.from_columns([fits.Column("wave", "D", array=wave), fits.Column("flux", "D", array=flux)])
    content = with_card(file_of(fits.PrimaryHDU(), table), "TFORM1  =", f"TFORM1  = '{form}'")
    (_, hdu) = hdus_of(content)
    if form == "D9":  # FITS allows letters after the format
        np.testing.assert_array_equal(hdu.table("WAVE")["WAVE"], wave)
        return
    if form.startswith("P"):  # pointers are never followed
        assert "WAVE" not in hdu.table("WAVE")
        return
    with pytest.raises(SpectrumError, match=r"^x\.fits: HDU 1: damaged"):
        hdu.table("WAVE", "FLUX")


def test_rows_of_no_bytes_are_no_rows() -> None:
    table = fits.BinTableHDU.from_columns([fits.Column(k, "E", array=[1.0]) for k in ("wave", "flux")])
    content = file_of(fits.PrimaryHDU(), table)
    for card, value in (("NAXIS1  =", 0), ("NAXIS2  =", 10**18), ("TFORM1  =", "'0A'"), ("TFORM2  =", "'0A'")):
        content = with_card(content, card, f"{card} {value:>20}")
    assert hdus_of(content)[1].shape == (0,)
    with pytest.raises(SpectrumError, match="empty"):
        read(content)


def test_a_header_without_end_is_not_sought_through_the_whole_file() -> None:
    start = time.perf_counter()
    with pytest.raises(SpectrumError, match=r"^x\.fits: HDU 0: damaged or truncated .*END"):
        read(b"SIMPLE  =                    T".ljust(80) + b" " * (200 * 2**20), name="x.fits")
    assert time.perf_counter() - start < 3


def test_a_file_of_endless_hdus_is_refused() -> None:
    empty = file_of(fits.PrimaryHDU(), fits.ImageHDU())
    with pytest.raises(SpectrumError, match="more than 1000 HDUs"):
        read(empty + empty[2880:] * 1000, name="x.fits")


@pytest.mark.parametrize(
    "error", [KeyError("x"), MemoryError(), RecursionError("deep"), fits.VerifyError("a\n b"), OSError(5)]
)
def test_whatever_astropy_raises_becomes_a_spectrum_error(
    error: Exception, sdss_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(fits.BinTableHDU, "fromstring", fail)
    with pytest.raises(
        SpectrumError, match=rf": HDU \d: damaged or truncated \({type(error).__name__}: .*Download"
    ) as caught:
        read(sdss_file)
    assert str(caught.value).startswith(f"{sdss_file}: ")
    assert "\n" not in str(caught.value)


def test_files_read_in_threads_are_read_as_one_after_the_other(tmp_path: Path) -> None:
    paths = [make_sdss(tmp_path / f"{i}.fits", *galaxy(seed=i), label=LABEL, ids=(1, 52000, i + 1)) for i in range(6)]
    with ThreadPoolExecutor(4) as pool:
        found = [spectra[0] for spectra in pool.map(read, paths * 3)]
    for path, spectrum in zip(paths * 3, found, strict=True):
        assert spectrum.object_id == f"1-52000-{int(path.stem) + 1}"
        np.testing.assert_array_equal(spectrum.flux, read(path)[0].flux)


# --- without the catalogue ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("generation", ["sdss", "eboss", "nameless", "v"])
def test_without_the_catalogue_the_spectrum_and_its_name_stay_the_same(generation: str, tmp_path: Path) -> None:
    path = make_sdss(tmp_path / "a.fits", *galaxy(), label=LABEL, generation=generation)
    (whole,), (bare,) = read(path), read(path, catalogue=False)
    assert (bare.object_id, bare.survey, bare.notes) == (whole.object_id, whole.survey, whole.notes)
    np.testing.assert_array_equal(bare.flux, whole.flux)
    np.testing.assert_array_equal(bare.ivar, whole.ivar)
    if generation != "v":  # its names are in the catalogue, which is read for them
        assert bare.label is None
        assert "mag_g" not in bare.meta


def test_a_name_that_only_the_catalogue_has_is_read_from_it(sdss_file: Path) -> None:
    content = sdss_file.read_bytes().replace(b"PLATEID =", b"PLATENO =")
    assert read(content, catalogue=False)[0].object_id == "751-52251-160"


def test_without_the_catalogue_its_table_is_not_read(sdss_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    table: Callable[..., dict] = Hdu.table
    monkeypatch.setattr(Hdu, "table", lambda hdu, *names: asked.append(hdu.name) or table(hdu, *names))
    read(sdss_file, catalogue=False)
    assert asked == ["COADD"]
    read(sdss_file)
    assert asked == ["COADD", "COADD", "SPALL"]
