"""Model cards: complete ones hold what docs/models.md asks for, and read as sections."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from typer.testing import CliRunner

import engine
from engine.card import LATER, REQUIRED, card_sections, missing
from engine.cli import app
from engine.registry import find_model, read_card
from engine.survey import assets_dir

SHIPPED = sorted(path.parent.name for path in (assets_dir() / "models").glob("*/card.json"))
CARD: dict[str, Any] = {
    "model": "sdss-matched-v9", "survey": "sdss", "survey_sha256": "ab" * 32, "network": "matched",
    "config": {"filters": 4}, "grid": {"kind": "log", "loglam_min": 3.5563, "step": 1e-4, "n": 4096},
    "zgrid": {"n": 2269, "step": 4e-4}, "classes": ["STAR", "QSO"], "seeds": [0],
    "members": [{"file": "member-0.safetensors", "seed": 0, "sha256": "cd" * 32}], "mae": {"QSO": 0.01},
    "data": "mock spectra", "split": "by template", "training": {"spectra": 5}, "date": "2026-11-25",
    "validation": {"n": 26, "accuracy": 0.9, "classes": {"STAR": {"n": 13, "accuracy": 1.0},
                                                         "QSO": {"n": 13, "accuracy": 0.8, "mae": 0.01}}},
    "calibration": {"temperature": 1.25, "ks": {"QSO": 0.02}}, "ood": {"threshold": 3.5}, "limits": ["mocks only"],
    "licence": "BSD-3-Clause",
}  # fmt: skip


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_card_is_complete(name: str) -> None:
    card = read_card(find_model(name))
    older = card["date"] < "2026-11-25"  # than calibration and the score of none-of-these
    assert missing(card, but=LATER if older else ()) == ()


@pytest.mark.parametrize("key", REQUIRED)
def test_each_key_that_lacks_is_named(key: str) -> None:
    card = copy.deepcopy(CARD)
    assert missing(card) == ()
    *path, last = key.split(".")
    inside = card
    for part in path:
        inside = inside[part]
    del inside[last]
    assert f"({key})" in "".join(missing(card))
    assert missing(card, but=(key,)) == ()


def test_a_member_without_its_checksum_is_named() -> None:
    assert missing(CARD | {"members": [{"file": "member-0.safetensors"}]}) == ("sha256 of member-0.safetensors",)


def test_a_card_reads_in_sections() -> None:
    text = {section.title: section for section in card_sections(CARD)}
    assert ("reads", "4096 px, log, 3600-9243 A in vacuum") in text["What it is"].facts
    numbers = text["Numbers on validation data"]
    assert ("measured", "2026-11-25, n = 26") in numbers.facts
    assert numbers.head == ("class", "n", "accuracy", "mae")
    assert numbers.rows == (("STAR", "13", "1", ""), ("QSO", "13", "0.8", "0.01"))
    assert text["Calibration"].facts == (("temperature", "1.25"), ("ks, QSO", "0.02"))
    assert text["Known limits"].words == ("mocks only",)
    assert text["Files"].rows == (("member-0.safetensors", "0", "cd" * 32),)


def test_what_was_not_measured_says_so() -> None:
    text = {section.title: section for section in card_sections(CARD | {"calibration": None, "ood": None})}
    assert text["Calibration"].words == ("not calibrated",)
    assert "no threshold" in text["None of these"].words[0]


def test_the_command_prints_the_whole_card() -> None:
    name = engine.load_survey("sdss").model
    printed = CliRunner().invoke(app, ["models", "show", name]).output
    for section in card_sections(read_card(find_model(name))):
        assert section.title in printed
        for row in section.rows:
            assert all(cell in printed for cell in row)
