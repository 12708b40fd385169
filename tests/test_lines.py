"""The line list: vacuum, sorted, referenced, and free of the errors found in other lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.lines import load_lines, load_sky
from engine.readers.clean import air_to_vacuum
from engine.readers.source import opened
from engine.survey import SurveyError, assets_dir


def wave(key: str) -> float:
    return next(line.wave for line in load_lines() if line.key == key)


def test_lines_run_from_blue_to_red_with_unique_ascii_keys_and_references() -> None:
    lines = load_lines()
    waves = [line.wave for line in lines]
    assert waves == sorted(waves)
    assert len({line.key for line in lines}) == len(lines) >= 75
    assert all(
        line.key.isascii() and line.reference and line.kind in ("emission", "absorption", "both") for line in lines
    )


@pytest.mark.parametrize(
    ("key", "air"),
    [("Ha", 6562.80), ("Hb", 4861.33), ("O_III_5008", 5006.84), ("N_II_6585", 6583.45), ("Ca_II_K", 3933.663),
     ("Ca_II_H", 3968.468), ("Na_I_D2", 5889.951), ("O_II_3727", 3726.03), ("S_II_6718", 6716.44)],
)  # fmt: skip
def test_wavelengths_are_the_vacuum_values_of_known_air_lines(key: str, air: float) -> None:
    assert wave(key) == pytest.approx(air_to_vacuum(air), abs=0.03)


def test_errors_of_other_lists_are_not_copied() -> None:
    assert wave("Mg_II_2796") == 2796.352  # a vacuum value: converting it again would give 2797.18
    assert wave("Lya") == 1215.67  # not 1215.24
    assert next(line.name for line in load_lines() if line.wave == 3426.85) == "[Ne V]"  # not Ne VI
    # [Ne III] 3870 and 3969 share their upper level; the lower ones lie 642.9 cm-1 apart.
    assert 1e8 / wave("Ne_III_3870") - 1e8 / wave("Ne_III_3969") == pytest.approx(642.9, abs=0.5)
    assert {line.name for line in load_lines() if abs(line.wave - 3934.8) < 0.1} == {"Ca II K"}


def test_names_are_the_fields_own_and_labels_tell_lines_apart() -> None:
    by_key = {line.key: line for line in load_lines()}
    assert (by_key["O_III_5008"].name, by_key["O_III_5008"].label) == ("[O III]", "[O III] 5008")
    assert (by_key["Ha"].name, by_key["Ha"].label) == ("Hα", "Hα")
    labels = [line.label for line in load_lines()]
    assert len(set(labels)) == len(labels)


def test_major_lines_are_few_enough_to_show_by_default() -> None:
    assert 25 <= sum(line.major for line in load_lines()) <= 45


def test_sky_features_do_not_overlap_the_list_of_objects() -> None:
    sky = load_sky()
    assert {feature.kind for feature in sky} == {"SKY", "TELLURIC"}
    assert any(f.low == pytest.approx(5578.89, abs=0.01) for f in sky)
    assert all(3000 < f.low <= f.high < 10000 for f in sky)
    assert not {f.key for f in sky} & {line.key for line in load_lines()}


@pytest.mark.parametrize(
    ("row", "reason"),
    [("x,X,X,abc,,E,1,r", "could not convert"), ("x,X,X,5000,,Q,1,r", "kind E, A"), ("x,X", "columns")],
)
def test_a_damaged_list_names_file_and_row(
    row: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = (assets_dir() / "lines.csv").read_text(encoding="utf-8").splitlines()[0]
    (tmp_path / "lines.csv").write_text(f"{head}\n{row}\n")
    monkeypatch.setenv("GASNET_ASSETS", str(tmp_path))
    load_lines.cache_clear()
    try:
        with pytest.raises(SurveyError, match=rf"lines\.csv: row 2: .*{reason}"):
            load_lines()
    finally:
        load_lines.cache_clear()


def test_lines_agree_with_the_sdss_pipelines_own_list(realspec: Path) -> None:
    with opened(realspec / "boss-eboss" / "spec-3655-55240-0002.fits") as source:
        theirs = source.hdus[3].table("LINEWAVE")["LINEWAVE"]
    ours = np.array([line.wave for line in load_lines()])
    nearest = np.abs(ours[:, None] - theirs).min(axis=0)
    # All but Mg II (a blend), He II 5411, [O I] 5577 (sky) and [S III] 6312, which we do not list.
    assert np.sort(nearest)[:-4].max() < 0.06
