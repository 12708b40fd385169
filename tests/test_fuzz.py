"""Hostile files by the thousand: an answer, or an error that the product documents, and nothing else.

The files of tests/mutations.py go through tests/fuzzing.py, in a process of its own with bounds on memory and time.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fuzzing
import mutations
import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from makers import galaxy, make_sdss

from engine import CatalogueError, SpectrumError, read, read_population
from engine.inspections import read_inspections
from engine.readers.clean import spectrum

FUZZER = Path(fuzzing.__file__)
SOME = settings(max_examples=100, deadline=None, derandomize=True, database=None,
                suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip


def fuzzed(*how: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, f"{FUZZER}", *how], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="bounds on memory are Linux's")
def test_two_thousand_hostile_files_are_answered_or_refused_by_name() -> None:
    run = fuzzed("--cases", "2000")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    assert "fuzz: 2000 cases" in run.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="bounds on memory are Linux's")
def test_a_hundred_thousand_more_within_half_an_hour() -> None:
    run = fuzzed("--cases", "100000", "--seconds", "1800", "--seed", "1")
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]


def test_the_files_that_are_spoilt_were_good(tmp_path: Path) -> None:
    """Else the fuzzer would knock at a door that is shut anyway."""
    for name, content in mutations.spectra(tmp_path).items():
        if name in ("ragged.fits", "packed.fits"):
            with pytest.raises(SpectrumError):
                read(content, name=name)
        else:
            assert read(content, name=name), name
    for name in mutations.catalogues(tmp_path):
        assert len(read_population(tmp_path / name)) == 20
    for name in ("vi.csv", "marz.mz"):
        assert len(read_inspections(mutations.texts()[name], name, "SDSS")) == 1


@pytest.mark.parametrize(
    ("deed", "told"),
    [(lambda name, content: open("/etc/hostname").close(), "open /etc/hostname"),
     (lambda name, content: Path(fuzzing.ROOT / "README.md").open("a").close(), "README.md"),
     (lambda name, content: __import__("socket").getaddrinfo("127.0.0.1", 1), "socket.getaddrinfo"),
     (lambda name, content: __import__("pickle").loads(b"cbuiltins\nlen\n."), "pickle.find_class"),
     (lambda name, content: fuzzing.refused(SpectrumError("damaged"), name), "does not name the file"),
     (lambda name, content: fuzzing.refused(SpectrumError(f"{name}: MemoryError"), name), "a fault in the words"),
     (lambda name, content: 1 // 0, "ZeroDivisionError")],
)  # fmt: skip
def test_the_fuzzer_sees_what_a_case_must_not_do(deed, told: str, watch: fuzzing.Watch) -> None:
    assert told in fuzzing.guarded(watch, deed, "a.fits", b"")


@pytest.fixture(scope="module")
def watch(tmp_path_factory: pytest.TempPathFactory) -> fuzzing.Watch:
    return fuzzing.Watch(tmp_path_factory.mktemp("watched"))


# --- arrays and headers -----------------------------------------------------------------------------------------------

ANY = st.floats(allow_nan=True, allow_infinity=True, width=64)


@SOME
@given(wave=arrays(float, st.integers(0, 12), elements=ANY | st.floats(3000, 9000)), data=st.data())
def test_any_arrays_make_a_spectrum_or_an_error(wave: np.ndarray, data: st.DataObject) -> None:
    flux, ivar = (data.draw(arrays(float, wave.shape, elements=ANY)) for _ in range(2))
    try:
        made = spectrum("any.fits", wave, flux, data.draw(st.sampled_from([ivar, None])), object_id="any")
    except SpectrumError as error:
        assert str(error).startswith("any.fits: ")  # noqa: PT017 - either outcome is right
    else:
        assert made.good.any()
        assert np.isfinite(made.flux[made.good]).all()


CARDS = st.one_of(st.integers(-(2**70), 2**70), ANY.filter(np.isfinite), st.booleans(), st.just(fits.card.UNDEFINED),
                  st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))  # fmt: skip


@SOME
@given(hdu=st.sampled_from([0, 1, 2]), key=st.sampled_from(mutations.KEYS[4:]), value=CARDS)
def test_any_value_of_a_card_gives_a_spectrum_or_an_error(hdu: int, key: str, value: object, good: bytes) -> None:
    cards = [good[at : at + 80] for at in range(0, len(good), 80)]
    ends = [i for i, card in enumerate(cards) if card.startswith(b"END     ")]
    try:
        lie = str(fits.Card(key, value)).encode()[:80].ljust(80)
    except ValueError:
        return
    old = [i for i in range(0 if hdu == 0 else ends[hdu - 1], ends[hdu]) if cards[i].startswith(key.ljust(8).encode())]
    cards[old[0] if old else ends[hdu] - 1] = lie
    try:
        found = read(b"".join(cards), name="lying.fits")
    except SpectrumError as error:
        assert str(error).startswith("lying.fits: ")  # noqa: PT017 - either outcome is right
    else:
        assert all(s.object_id.isprintable() for s in found)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "good.fits"
    return make_sdss(path, *galaxy(n=300, loglam_min=3.7), label={"spectype": "GALAXY", "z": 0.1}).read_bytes()


@SOME
@given(content=st.binary(max_size=400) | st.text(max_size=400).map(str.encode))
@pytest.mark.parametrize("name", ["c.csv", "c.ecsv", "c.fits", "c.parquet"])
def test_any_bytes_are_no_catalogue_by_name(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CatalogueError, match=name):
        read_population(tmp_path / name)
