"""The command that makes a model's probabilities hold: calibrate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from engine.cli.terminal import DeviceOption, TemplatesOption, app, print_table, progress, say


@app.command()
def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model name, or folder of a model or a finished run.")],
    n: Annotated[int, typer.Option("--n", min=200, help="Mock spectra: half fit, half are held out.")] = 4000,
    outliers: Annotated[
        int, typer.Option("--outliers", min=0, help="Spectra of each outlier type to test the score with.")
    ] = 80,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the mock spectra.")] = 0,
    device: DeviceOption = "auto",
    templates: TemplatesOption = None,
) -> None:
    """Fit class probabilities, p(z) and the score of none-of-these on mock spectra; write them into the model's card.

    The members stay as they are. Run it again whenever members or the simulation change.
    """
    from engine.calibrate import calibrate_model
    from engine.mock import Simulator
    from engine.registry import find_model, load_members

    folder = find_model(model)
    survey, _, _ = load_members(folder)
    simulator = Simulator(survey, templates, "validation", flat_share=0.0)
    with progress("calibrate") as advance:
        card = calibrate_model(folder, simulator, n, seed, templates, outliers, device, advance)
    show_calibration(card)
    say(f"{folder / 'card.json'} is calibrated")


def show_calibration(card: Mapping[str, Any]) -> None:
    """Print what a card says of its calibration and of its score of none-of-these, as tables."""
    facts, ood = card["calibration"], card["ood"]
    halves = {"raw": facts["held_out"]["raw"], "fitted half": facts["fitted"], "held out": facts["held_out"]}
    keys = ("n", "n_redshifts", "ks", "covers_68", "covers_95", "accuracy", "ece", "ece_noise")
    rows = [(name, *(_text(half.get(key)) for key in keys)) for name, half in halves.items()]
    print_table(("", *(key.replace("_", " ") for key in keys)), rows, f"{card['model']}: honesty of its probabilities")
    held = facts["held_out"]
    columns = ("ece_by_snr", "ece_noise_by_snr", "covers_68_by_snr", "covers_95_by_snr")
    by_snr = [(snr, *(_text(held[key][snr]) for key in columns)) for snr in held["ece_by_snr"]]
    print_table(("SNR", "ece", "ece noise", "covers 68", "covers 95"), by_snr, "held out, by quarters of SNR")
    rows = [(name, _text(value), _text(held["ks_by_class"].get(name))) for name, value in held["ece_by_class"].items()]
    print_table(("class", "ece", "ks"), rows, "held out, by class")
    rules = {"robust (paper)": "robust", "reliable": "reliable", "as many as robust": "as_many_as_robust"}
    rows = [(name, *(_text(v) for v in held["flags"][key].values())) for name, key in rules.items()]
    print_table(("flag", "kept", "good of the kept", "wrong ones caught"), rows, "held out: what the flags buy")
    rows = [(kind, _text(value), _text(ood["caught"][kind])) for kind, value in ood.get("auroc", {}).items()]
    flagged = f"mocks flagged {_text(ood['flagged_mocks'])}, with large faults {_text(ood['flagged_with_faults'])}"
    rows.append(("all", _text(ood.get("auroc_all")), flagged))
    print_table(("none of these", "AUROC", "caught"), rows, f"{ood.get('n_per_type', 0)} of each type")


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
