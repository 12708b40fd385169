"""The `gasnet` command: catalogues, exit codes, one line per error, never a traceback."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.table import Table

from engine import cli
from engine.networks import build
from engine.registry import card_base, save_member, sha256_of, write_card
from engine.survey import load_survey
from tests.makers import BAD_FILES, galaxy, make_bad, make_sdss


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model folder as `gasnet train` leaves it, with untrained weights."""
    folder, survey = tmp_path_factory.mktemp("model"), load_survey("sdss")
    network = build("matched", survey)
    save_member(network, folder / "member-0.safetensors")
    member = {"file": "member-0.safetensors", "seed": 0, "sha256": sha256_of(folder / "member-0.safetensors")}
    mae = {survey.names[i]: 0.01 for i in survey.extragalactic}
    write_card(folder, card_base("untrained", survey, network, [0]) | {"members": [member], "mae": mae})
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command as the shell does: (exit code, stdout, stderr)."""

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["gasnet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return int(ended.value.code or 0), out, err

    return command


def test_every_bad_file_gets_its_reason_and_the_good_one_its_answer(tmp_path, model, run):
    night = tmp_path / "night"
    night.mkdir()
    wave, flux, ivar = galaxy()
    make_sdss(night / "good.fits", wave, flux, ivar)
    make_sdss(night / "reversed.fits", wave[::-1], flux[::-1], ivar[::-1])
    bad = {make_bad(name, night): words for name, (_, _, words) in BAD_FILES.items()}
    # An empty directory inside another is no file; and .pkl is no ending to look for: they are named outright.
    named = [path for path in bad if path.is_dir() or path.suffix == ".pkl"]
    code, out, err = run("classify", night, *named, "--model", model, "--output", tmp_path / "out.ecsv")
    rows = {Path(row["path"]): row for row in Table.read(tmp_path / "out.ecsv")}
    errors = {path: row["error"] for path, row in rows.items() if row["error"]}
    assert (code, out) == (1, "")
    assert set(errors) == set(bad)
    for path, words in bad.items():
        assert re.search(words, errors[path]) or path.is_dir()
        assert f"{path}: {errors[path]}\n" in err
    assert len(err.splitlines()) == len(bad) + 1
    good, turned = rows[night / "good.fits"], rows[night / "reversed.fits"]
    assert good["class"] == turned["class"] != ""
    assert good["z_QSO"] == pytest.approx(turned["z_QSO"])


@pytest.mark.parametrize("ending", [".ecsv", ".csv", ".fits", ".parquet"])
def test_a_good_file_exits_with_0(tmp_path, sdss_file, model, run, ending):
    code, _, err = run("classify", sdss_file, "--model", model, "-o", tmp_path / f"out{ending}", "--batch-size", 2)
    assert code == 0
    assert err == f"gasnet: 1 spectra classified, 0 errors -> {tmp_path}/out{ending}\n"
    assert (tmp_path / f"out{ending}").stat().st_size > 0


def test_a_missing_path_and_an_empty_directory_are_said_in_one_line_each(tmp_path, model, run):
    (tmp_path / "empty").mkdir()
    code, _, err = run("classify", tmp_path / "gone", tmp_path / "empty", "--model", model, "-o", tmp_path / "out.csv")
    assert code == 1
    assert [line.split(": ")[1].split("/")[-1] for line in err.splitlines()[:2]] == ["gone", "empty"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["classify", "x.fits", "-o", "out.xlsx"], "out.xlsx: unknown ending '.xlsx'"),
        (["classify", "x.fits", "-o", "nowhere/out.csv"], "folder nowhere does not exist"),
        (["classify", "x.fits", "-o", "out.csv", "--model", "nonsense"], "no such model"),
        (
            ["classify", "x.fits", "-o", "out.csv", "--model", "MODEL", "--survey", "desi"],
            "was trained for survey sdss",
        ),
        (["classify", "x.fits", "-o", "out.csv", "--model", "MODEL", "--device", "abacus"], "no device 'abacus'"),
        (["validate", "nowhere", "--model", "MODEL"], "nowhere: holds neither manifest.csv nor a .npz"),
        (["networks", "--survey", "nonsense"], "no survey 'nonsense'"),
        (["train", "--out", "run", "--budget", "5", "--minutes", "1"], "either minutes or spectra"),
        (["simulate", "--out", "mock", "--templates", "nowhere"], "nowhere"),
    ],
)
def test_an_error_is_one_line_with_exit_code_1(tmp_path, monkeypatch, model, run, arguments, said):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*[model if a == "MODEL" else a for a in arguments])
    assert code == 1
    assert said in err
    assert err.startswith("gasnet: ")
    assert len(err.splitlines()) == 1


def test_an_unforeseen_error_is_one_line_too_unless_debugging(monkeypatch, run):
    def broken(*_args: object) -> None:
        raise RuntimeError("out of\nluck")

    monkeypatch.setattr("engine.networks.build", broken)
    code, _, err = run("networks")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "internal error, RuntimeError: out of luck" in err
    monkeypatch.setenv("GASNET_DEBUG", "1")
    monkeypatch.setattr(sys, "argv", ["gasnet", "networks"])
    with pytest.raises(RuntimeError):
        cli.main()


def test_wrong_usage_exits_with_2(run):
    assert run("classify")[0] == 2


def test_networks_lists_parameters_multiply_adds_and_grid(run):
    code, out, _ = run("networks")
    assert code == 0
    line = next(line for line in out.splitlines() if "gasnet2" in line)
    assert "29,096,547" in line  # 4,159,293 and six times 4,156,209
    assert "556.7 M" in line
    assert "5001 px, linear, 4000-9000 A" in line


def test_models_lists_what_is_there(run, monkeypatch, tmp_path, model):
    assets = tmp_path / "assets"
    (assets / "models").mkdir(parents=True)
    (assets / "surveys").symlink_to(Path(cli.__file__).parents[2] / "assets" / "surveys")
    (assets / "models" / "sdss-matched-v3").symlink_to(model)
    monkeypatch.setenv("GASNET_ASSETS", str(assets))
    code, out, _ = run("models")
    assert code == 0
    line = next(line for line in out.splitlines() if "sdss-matched-v3" in line)
    assert "matched" in line
    assert "current" in line


def test_help_comes_without_loading_torch():
    code = "import sys, engine.cli; assert 'torch' not in sys.modules and 'astropy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
