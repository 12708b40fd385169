"""`gasnet fetch`, and IDs in the place of paths: one line per error, paths on stdout, never a traceback."""

import pytest
from astropy.table import Table
from fake_archives import playing
from makers import galaxy, make_sdss
from test_archive import SPEC
from test_cli import model, run  # noqa: F401 - fixtures


@pytest.fixture
def played(tmp_path, monkeypatch):
    with playing() as archives:
        monkeypatch.setenv("GASNET_ARCHIVES", archives.setting)
        monkeypatch.setenv("GASNET_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("GASNET_DATA", raising=False)
        archives.files[f"/sdss/{SPEC}"] = make_sdss(tmp_path / "made.fits", *galaxy()).read_bytes()
        yield archives


def test_fetch_prints_the_path_of_the_file(played, run, tmp_path):  # noqa: F811
    code, out, err = run("fetch", "751-52251-160")
    assert (code, err) == (0, "")
    assert out.strip().startswith(str(tmp_path / "cache"))
    assert out.strip().endswith("spec-0751-52251-0160.fits")


def test_fetch_copies_to_a_folder(played, run, tmp_path):  # noqa: F811
    code, out, _ = run("fetch", "751", "52251", "160", "--out", tmp_path / "mine")
    assert (code, out.strip()) == (0, str(tmp_path / "mine/spec-0751-52251-0160.fits"))
    assert (tmp_path / "mine/spec-0751-52251-0160.fits").is_file()


def test_what_is_not_there_is_said_in_one_line_and_the_rest_is_fetched(played, run):  # noqa: F811
    code, out, err = run("fetch", "751-52251-160, 751-52251-161")
    assert (code, len(out.splitlines()), len(err.splitlines())) == (1, 1, 1)
    assert err.startswith("gasnet: 751-52251-161: not in cache")


def test_what_is_no_id_is_said_with_the_forms_that_work(played, run):  # noqa: F811
    code, out, err = run("fetch", "M31")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "'M31' is no ID. Forms that work: 751-52251-160" in err


def test_classify_takes_ids_beside_paths(played, run, model, sdss_file, tmp_path):  # noqa: F811
    code, _, err = run("classify", sdss_file, "751-52251-160", "751-52251-161", "M31", "--model", model,
                       "-o", tmp_path / "out.ecsv")  # fmt: skip
    rows = Table.read(tmp_path / "out.ecsv")
    assert code == 1
    assert list(rows["object_id"][:2]) == ["751-52251-160"] * 2
    assert rows["path"][1].endswith("spec-0751-52251-0160.fits")
    assert "751-52251-161: not in cache" in err
    assert "M31: no such file or directory, and no ID" in err


def test_classify_looks_into_the_data_folder(played, run, model, sdss_file, tmp_path):  # noqa: F811
    played.files.clear()
    code, _, _ = run("classify", "751-52251-160", "--data-dir", sdss_file.parent, "--model", model,
                     "-o", tmp_path / "out.csv")  # fmt: skip
    assert code == 0
    assert played.asked == []
