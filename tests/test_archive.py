"""The archive: data folder, then cache, then the surveys' servers, here played on this machine, which also fail."""

import hashlib
import io
import json
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from fake_archives import Archives, playing, sparcl_record
from makers import galaxy, make_desi, make_sdss

from engine import ArchiveError, read, resolve
from engine import fetch as fetch_anywhere
from engine.archive import Ambiguous, Archive, BadAnswer, NotFound, Unreachable, desi, other_sites
from engine.archive.cache import Cache
from engine.archive.web import Web
from engine.identifiers import DesiRef

SPEC = "dr17/sdss/spectro/redux/26/spectra/lite/0751/spec-0751-52251-0160.fits"
TARGET = 39632936152072660  # of coadd-main-dark-9144 in DESI's releases
COADD = "dr1/spectro/redux/iron/healpix/main/dark/91/9144/coadd-main-dark-9144.fits"


@pytest.fixture
def played():
    with playing() as archives:
        yield archives


@pytest.fixture
def offline(tmp_path) -> Archive:
    """An archive whose servers are not there."""
    return Archive(None, Cache(tmp_path / "cache"), dict.fromkeys(("sdss", "desi", "sparcl"), "http://127.0.0.1:9"))


@pytest.fixture
def archive(played, tmp_path) -> Archive:
    return archive_of(played, tmp_path / "cache")


def archive_of(played: Archives, cache: Path, data_dir: Path | None = None, cap: int = 2**30, **web) -> Archive:
    web = {"timeouts": (2.0, 0.4), "patience": 1.0, **web}
    return Archive(data_dir, Cache(cache, cap), played.sites, Web(played.hosts, **web))


def get(archive: Archive, text: str) -> Path:
    (ref,) = resolve(text)
    return archive.fetch(ref)


@pytest.fixture
def spec(tmp_path) -> bytes:
    path = make_sdss(tmp_path / "made.fits", *galaxy(), label={"spectype": "GALAXY", "z": 0.1}, generation="sdss")
    return path.read_bytes()


@pytest.fixture
def coadd(tmp_path) -> Path:
    """A coadd of six targets; the third is TARGET."""
    path = make_desi(tmp_path / "made-coadd.fits", 6)
    with fits.open(path, mode="update") as hdus:
        hdus["FIBERMAP"].data["TARGETID"] = TARGET + np.arange(-2, 4)
    return path


# ---- SDSS --------------------------------------------------------------------------------------------------------


def test_an_sdss_spectrum_comes_from_the_server_and_then_from_the_cache(played, archive, spec):
    played.files[f"/sdss/{SPEC}"] = spec
    path = get(archive, "751-52251-160")
    (spectrum,) = read(path)
    assert (path.name, spectrum.object_id) == ("spec-0751-52251-0160.fits", "751-52251-160")
    asked = len(played.asked)
    assert get(archive, "spec-0751-52251-0160") == path
    assert len(played.asked) == asked


def test_the_sidecar_tells_url_date_and_checksum(played, archive, spec):
    played.files[f"/sdss/{SPEC}"] = spec
    path = get(archive, "751-52251-160")
    told = json.loads((path.parent / f"{path.name}.json~").read_text())
    assert told["url"] == f"{played.sites['sdss']}/{SPEC}"
    assert told["sha256"] == hashlib.sha256(spec).hexdigest()
    assert told["size"] == len(spec)
    assert told["date"].endswith("+00:00")


def test_without_the_reduction_those_of_the_epoch_are_tried_in_order(played, archive):
    with pytest.raises(NotFound, match=r"751-52251-160: not in cache .*, and 127.0.0.1:\d+ has no such spectrum"):
        get(archive, "751-52251-160")
    tree = "/sdss/dr17/sdss/spectro/redux"
    runs = [path.split("/")[6] for path in played.asked if path.startswith(tree)]
    assert runs == ["26", "26", "103", "103", "104", "104"]
    with pytest.raises(NotFound):
        get(archive, "4055-55359-408")
    assert any("/v5_13_2/spectra/lite/4055/spec-4055-55359-0408.fits" in path for path in played.asked)


def test_a_specobjid_asks_the_release_of_its_own_reduction(played, archive, spec):
    path = "dr12/boss/spectro/redux/v5_7_0/spectra/lite/4055/spec-4055-55359-0408.fits"
    played.files[f"/sdss/{path}"] = spec
    assert get(archive, "4565636362342690816").name == "spec-4055-55359-0408.fits"


def test_sdss_v_is_tried_in_both_trees_of_dr18(played, archive, spec):
    path = "dr18/spectro/boss/redux/v6_0_4/spectra/lite/15000p/59146/spec-15000-59146-04375786564.fits"
    played.files[f"/sdss/{path}"] = spec
    assert get(archive, "15000-59146-4375786564").name == path.rsplit("/", 1)[-1]
    assert played.asked[0].startswith("/sdss/dr19/spectro/boss/redux/v6_1_3/spectra/lite/015000/59146/spec-015000-")


def test_sparcl_stands_in_for_sdss(played, archive):
    played.faults = {f"/sdss/{SPEC}": "503"}
    played.records = [sparcl_record(845594848269461504, "SDSS-DR17")]
    (spectrum,) = read(get(archive, "751-52251-160"))
    assert (spectrum.object_id, spectrum.survey, spectrum.label.z) == ("751-52251-160", "SDSS", 0.1)


# ---- the data folder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["", "127.0.0.1/sdss", "flat"])
def test_the_data_folder_comes_first_laid_out_as_the_survey_does_or_flat(played, tmp_path, spec, place):
    path = tmp_path / "data" / (SPEC.rsplit("/", 1)[-1] if place == "flat" else Path(place) / SPEC)
    path.parent.mkdir(parents=True)
    path.write_bytes(spec)
    assert get(archive_of(played, tmp_path / "cache", tmp_path / "data"), "751-52251-160") == path
    assert played.asked == []


def test_a_row_is_taken_out_of_a_coadd_in_the_data_folder(played, tmp_path, coadd):
    path = tmp_path / "data" / COADD
    path.parent.mkdir(parents=True)
    coadd.rename(path)
    archive = archive_of(played, tmp_path / "cache", tmp_path / "data")
    for text in (f"main-dark-9144-{TARGET}", str(TARGET)):
        (spectrum,) = read(get(archive, text))
        assert spectrum.object_id == str(TARGET)
        assert np.allclose(spectrum.flux, read(path)[2].flux)
    assert played.asked == []


def test_4most_is_local_only(offline, tmp_path, spec):
    with pytest.raises(NotFound, match=r"no data folder is set \(--data-dir, GASNET_DATA\), and 4MOST has no public"):
        get(offline, "4most:QSO_1")
    path = tmp_path / "data/4most/run1/QSO_1.fits"
    path.parent.mkdir(parents=True)
    path.write_bytes(spec)
    local = Archive(tmp_path / "data", offline.cache)
    assert get(local, "4most:QSO_1") == path
    with pytest.raises(NotFound, match=r"4most:QSO_2: not in the data folder.*Put QSO_2.fits into its folder 4most"):
        get(local, "4most:QSO_2")


def test_a_typed_path_cannot_leave_the_data_folder(offline, tmp_path, spec):
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.fits").write_bytes(spec)
    (tmp_path / "secret.fits").write_bytes(spec)
    (data / "link.fits").symlink_to(tmp_path / "secret.fits")
    (data / "loop.fits").symlink_to(data / "loop.fits")
    local = Archive(data, offline.cache)
    assert get(local, "a.fits") == get(local, f'"{data}/a.fits"') == data / "a.fits"
    for text in (str(tmp_path / "secret.fits"), "link.fits", "/etc/hosts.txt", "file:///etc/passwd"):
        with pytest.raises(ArchiveError, match="lies outside the data folder"):
            get(local, text)
    with pytest.raises(NotFound, match=r"b.fits: no such file in the data folder"):
        get(local, "b.fits")
    with pytest.raises(ArchiveError, match=r"loop.fits: (cannot be followed|no such file)"):
        get(local, "loop.fits")
    with pytest.raises(ArchiveError, match="none is set"):
        get(offline, "a.fits")


# ---- DESI --------------------------------------------------------------------------------------------------------


def test_one_row_of_a_coadd_is_read_by_ranges_and_never_the_file(played, archive, coadd):
    with fits.open(coadd, mode="append") as hdus:  # what a real coadd has most of
        hdus.append(fits.ImageHDU(np.zeros((6, 11, 60_000), np.float32), name="B_RESOLUTION"))
        hdus.insert(6, hdus.pop())
    played.files[f"/desi/{COADD}"] = coadd.read_bytes()
    path = get(archive, f"main-dark-9144-{TARGET}")
    (spectrum,) = read(path)
    assert spectrum.object_id == str(TARGET)
    assert [arm.name for arm in spectrum.arms] == ["B", "R", "Z"]
    assert np.allclose(spectrum.flux, read(coadd)[2].flux)
    assert sum(played.parts) < 2e6 < 16e6 < coadd.stat().st_size
    assert max(played.parts) < 2e5
    header = fits.getheader(path)
    assert (header["SURVEY"], header["PROGRAM"], header["HPXPIXEL"]) == ("main", "dark", 9144)


def test_a_host_that_sends_whole_files_only_is_not_asked_for_a_gigabyte(played, archive, coadd):
    played.files[f"/desi/{COADD}"] = coadd.read_bytes()
    played.faults = {f"/desi/{COADD}": "whole"}
    with pytest.raises(Unreachable, match="sends whole files only, and this one is not for downloading whole"):
        get(archive, f"main-dark-9144-{TARGET}")


def test_a_target_that_is_not_in_its_coadd_is_not_found(played, archive, coadd):
    played.files[f"/desi/{COADD}"] = coadd.read_bytes()
    with pytest.raises(NotFound, match="has no such spectrum"):
        get(archive, f"main-dark-9144-{TARGET + 100}")


def test_a_targetid_alone_is_asked_of_sparcl(played, archive):
    played.records = [sparcl_record(TARGET, survey="main", program="dark", healpix=9144)]
    (spectrum,) = read(get(archive, str(TARGET)))
    assert (spectrum.object_id, spectrum.survey) == (str(TARGET), "DESI")
    assert spectrum.meta["program"] == "dark"
    assert spectrum.label.spectype == "GALAXY"
    assert {path.split("/")[1] for path in played.asked} == {"sparcl"}


def test_an_id_of_several_spectra_gives_a_choice_and_each_choice_works(played, archive):
    played.records = [
        sparcl_record(TARGET, survey="sv3", program=program, healpix=9144) for program in ("dark", "bright")
    ] + [sparcl_record(TARGET, "DESI-EDR", survey="sv3", program="dark", healpix=9144)]
    with pytest.raises(Ambiguous, match="is the ID of 2 spectra; choose one of dr1:desi:sv3-dark-9144-") as told:
        get(archive, str(TARGET))
    assert [choice.program for choice in told.value.choices] == ["dark", "bright"]
    programs = [read(archive.fetch(choice))[0].meta["program"] for choice in told.value.choices]
    assert programs == ["dark", "bright"]
    with pytest.raises(Ambiguous):  # though both lie in the cache
        get(archive, str(TARGET))
    assert read(get(archive, f"edr:{TARGET}"))[0].meta["data_release"] == "DESI-EDR"


def test_without_sparcl_the_brick_tells_the_pixels_to_try(played, archive, coadd):
    played.faults = {"/sparcl/find/": "404"}
    played.files[f"/desi/{COADD}"] = coadd.read_bytes()
    (spectrum,) = read(get(archive, str(TARGET)))
    assert spectrum.object_id == str(TARGET)
    played.files[f"/desi/{COADD.replace('dark', 'bright')}"] = coadd.read_bytes()
    archive.cache = Cache(archive.cache.folder / "new")
    with pytest.raises(Ambiguous, match=r"main-dark-9144-.*main-bright-9144-"):
        get(archive, str(TARGET))


def test_bricks_tile_the_sky_as_desi_does():
    assert 1 + desi._columns().sum() == 662_175
    assert 9144 in desi.pixels(DesiRef(TARGET).brick)  # as DESI filed it
    assert all(1 <= len(desi.pixels(brick)) <= 4 for brick in range(1, 662_175, 40_009))
    assert desi.pixels(662_175) == desi.pixels(0) == []


# ---- archives that fail ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("stall", r"did not answer \(timed out"),
        ("drip", r"did not answer \(\d+ bytes in 1 s"),
        ("truncate", r"did not answer \(the answer broke off"),
        ("silently truncate", r"sent a damaged file \(.*truncated"),
        ("html", r'answered with a web page \("Maintenance"\) instead of a spectrum'),
        ("503", r"did not answer \(status 503"),
        ("403", r"refused the question \(status 403\)"),
        ("redirect http://localhost:1/x", r"redirects to localhost:1, which is not one of the archives: refused"),
        ("redirect /sdss/round", r"has no such spectrum"),
    ],
)
def test_every_way_to_fail_is_said_in_one_line_and_leaves_nothing_behind(played, archive, spec, fault, said):
    played.files[f"/sdss/{SPEC}"] = spec
    played.faults = {f"/sdss/{SPEC}": fault}
    with pytest.raises(ArchiveError, match=said) as failed:
        get(archive, "751-52251-160")
    assert "\n" not in str(failed.value)
    assert not [path for path in archive.cache.folder.rglob("*") if path.is_file()]


def test_offline_says_so_in_one_line(offline):
    with pytest.raises(Unreachable) as failed:
        get(offline, "751-52251-160")
    said = "751-52251-160: not in cache (no data folder is set), and 127.0.0.1:9 did not answer (no connection"
    assert str(failed.value).startswith(said)


def test_what_is_in_the_cache_works_offline(played, archive, offline, spec):
    played.files[f"/sdss/{SPEC}"] = spec
    path = get(archive, "751-52251-160")
    away = Archive(None, archive.cache, archive.sites, Web(["127.0.0.1:9"]))
    assert get(away, "751-52251-160") == path


def test_a_failure_is_tried_once_more(played, archive, spec):
    played.files[f"/sdss/{SPEC}"] = spec
    played.faults = {f"/sdss/{SPEC}": "once 503"}
    assert get(archive, "751-52251-160").is_file()
    assert len(played.asked) == 2


def test_a_host_that_failed_twice_is_left_alone_for_a_minute(played, tmp_path, spec):
    now = [100.0]
    archive = archive_of(played, tmp_path / "cache", clock=lambda: now[0])
    played.files[f"/sdss/{SPEC}"] = spec
    played.faults = {"*": "503"}
    with pytest.raises(Unreachable):
        get(archive, "751-52251-160")
    asked = len(played.asked)
    now[0] += 20
    with pytest.raises(Unreachable, match=r"status 503; it is asked again in 40 s\)"):
        get(archive, "751-52251-160")
    assert len(played.asked) == asked == 4  # SDSS and SPARCL, twice each
    played.faults = {}
    now[0] += 41
    assert get(archive, "751-52251-160").is_file()


def test_only_known_hosts_are_asked():
    with pytest.raises(BadAnswer, match=r"example.com is not one of the archives"):
        Web(["data.sdss.org"]).get("https://example.com/x.fits")


def test_a_redirect_within_the_archives_is_followed_but_not_for_ever(played, archive, spec):
    played.files["/sdss/elsewhere.fits"] = spec
    played.faults = {f"/sdss/{SPEC}": "redirect /sdss/elsewhere.fits"}
    assert get(archive, "751-52251-160").read_bytes() == spec
    played.faults = {"/sdss/a": "redirect /sdss/a"}
    with pytest.raises(BadAnswer, match="redirects in circles"):
        archive.web.get(f"{archive.sites['sdss']}/a")


def test_too_many_bytes_are_not_taken(played, archive, spec):
    played.files["/sdss/x"] = spec
    with pytest.raises(BadAnswer, match=r"sends [\d,]+ bytes; at most 1,000 are taken"):
        archive.web.get(f"{archive.sites['sdss']}/x", 1000)


def test_sparcl_that_answers_no_json_is_named(played, archive):
    played.files["/sparcl/find/"] = b""
    played.faults = {"/sparcl/find/": "html"}
    with pytest.raises(Unreachable, match="answered with a web page"):
        get(archive, str(TARGET))


# ---- the cache ---------------------------------------------------------------------------------------------------


def test_a_damaged_file_in_the_cache_is_fetched_again(played, archive, spec):
    played.files[f"/sdss/{SPEC}"] = spec
    path = get(archive, "751-52251-160")
    path.write_bytes(spec[:-100] + bytes(100))
    assert get(archive, "751-52251-160").read_bytes() == spec
    path.with_name(f"{path.name}.json~").unlink()
    assert archive.cache.get(str(path.relative_to(archive.cache.folder))) is None


def test_what_was_used_longest_ago_goes_when_the_cache_is_full(tmp_path):
    cache = Cache(tmp_path, cap=250)
    for i, name in enumerate("abc"):
        path = cache.put(f"h/{name}", bytes(100), "http://x")
        assert path.is_file()
        _age(path, 100 - i)
        if name == "b":
            cache.get("h/a")
    assert [name for name in "abc" if cache.get(f"h/{name}")] == ["a", "c"]
    assert not (tmp_path / "h/b.json~").exists()


def test_a_file_larger_than_the_cache_is_kept_until_the_next(tmp_path):
    cache = Cache(tmp_path, cap=10)
    assert cache.put("h/a", bytes(100), "http://x").is_file()
    cache.put("h/b", bytes(100), "http://x")
    assert [name for name in "ab" if cache.get(f"h/{name}")] == ["b"]


def test_what_a_killed_process_left_half_written_is_never_read_and_goes(tmp_path):
    cache = Cache(tmp_path)
    cache.put("h/a", b"1", "http://x")
    left = tmp_path / "h/.b-x.part"
    left.write_bytes(b"half")
    _age(left, 100_000)
    Cache(tmp_path).put("h/c", b"1", "http://x")  # another process
    assert not left.exists()


def test_many_threads_may_ask_for_the_same_spectrum(played, archive, spec):
    played.files[f"/sdss/{SPEC}"] = spec
    got: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: got.append(get(archive, "751-52251-160").read_bytes())) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == [spec] * 8


def test_a_cache_that_cannot_be_written_says_what_to_do(played, tmp_path, spec):
    (tmp_path / "cache").write_text("a file where the folder should be")
    played.files[f"/sdss/{SPEC}"] = spec
    with pytest.raises(ArchiveError, match=r"cannot be kept .*; set GASNET_CACHE to a folder with room"):
        get(archive_of(played, tmp_path / "cache"), "751-52251-160")


# ---- settings ----------------------------------------------------------------------------------------------------


def test_the_front_door_takes_its_settings_from_the_environment(played, tmp_path, spec, monkeypatch):
    played.files[f"/sdss/{SPEC}"] = spec
    monkeypatch.setenv("GASNET_ARCHIVES", played.setting)
    monkeypatch.setenv("GASNET_CACHE", str(tmp_path / "kept"))
    monkeypatch.delenv("GASNET_DATA", raising=False)
    (ref,) = resolve("751-52251-160")
    assert fetch_anywhere(ref).is_relative_to(tmp_path / "kept")
    monkeypatch.setenv("GASNET_DATA", str(tmp_path))
    (tmp_path / "spec-0751-52251-0160.fits").write_bytes(spec)
    assert fetch_anywhere(ref) == tmp_path / "spec-0751-52251-0160.fits"
    monkeypatch.setenv("GASNET_CACHE_GB", "plenty")
    with pytest.raises(ArchiveError, match="GASNET_CACHE_GB is 'plenty'"):
        fetch_anywhere(ref)
    with pytest.raises(ArchiveError, match="'sdss=ftp://x' is not one of sdss, desi, sparcl"):
        other_sites("sdss=ftp://x")


def test_sparcl_json_that_a_user_saved_is_read_like_any_file():
    answer = json.dumps([{}, sparcl_record(TARGET), sparcl_record(TARGET + 1)]).encode()
    spectra = read(io.BytesIO(answer), name="mine.json")
    assert [s.object_id for s in spectra] == [str(TARGET), str(TARGET + 1)]
    assert spectra[0].notes[0] == "from SPARCL, DESI-DR1"


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))
