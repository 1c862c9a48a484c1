"""`lungscope demo`: the whole main job, on phantoms or on a folder of the user's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lungscope.cli.evaluate import print_evaluation
from lungscope.cli.options import Force, LabelPattern, PatientPattern, Weights, settings
from lungscope.cli.predict import print_results
from lungscope.cli.tables import stdout
from lungscope.errors import RuntimeUnavailable

if TYPE_CHECKING:
    from lungscope.experiments.evaluate_run import Evaluated

PATIENTS = 400
PHANTOM_SIZE = 256
SEED = 7


def demo(
    out: Annotated[Path, typer.Option(help="Folder for phantoms, run and heat maps.")] = Path("demo"),
    data: Annotated[Path | None, typer.Option(help="A folder of your own instead of phantoms.")] = None,
    patient_pattern: PatientPattern = "",
    label_pattern: LabelPattern = "",
    weights: Weights = "auto",
    force: Force = False,
) -> None:
    """Do the whole main job on synthetic radiographs: make, train, evaluate, predict, report.

    Example: lungscope demo --out demo
    """
    from lungscope.data.phantoms.phantom import write_phantoms
    from lungscope.system.files import claim_folder

    claim_folder(out, marker="run/recipe.toml", force=force)
    if data is None:
        _step(1, f"Drawing phantoms of {PATIENTS} patients ...")
        data = write_phantoms(out / "phantoms", patients=PATIENTS, seed=SEED, size=PHANTOM_SIZE)
    _step(2, "Auditing, splitting and training ...")
    done = _train(data, settings((), patient_pattern, label_pattern), weights, out / "run")
    if done is None:  # of the processes of torchrun, the first one alone goes on
        return
    _step(3, "On patients the model has not seen:")
    print_evaluation(done)
    _step(4, "Predicting one image, with its heat map ...")
    _predict(out / "run", out / "heatmaps")
    stdout.print(f"\nReport:    {done.report}\nHeat map:  {out / 'heatmaps'}\nModel:     {out / 'run'}")
    stdout.print(f"Next:      lungscope predict YOUR_IMAGES --model {out / 'run'}")


def _step(number: int, text: str) -> None:
    stdout.print(f"{number} of 4 ", style="bold", end="")
    stdout.print(text)


def _train(data: Path, patterns: list[str], weights: str, out: Path) -> "Evaluated | None":
    """Train with ImageNet's weights, or a small network from scratch where "auto" cannot download them."""
    from lungscope.config.recipe import load_recipe
    from lungscope.experiments.train_run import TrainOptions, train_and_evaluate

    if weights != "auto":
        return train_and_evaluate(data, load_recipe("default", patterns), out, TrainOptions(weights))
    try:
        return train_and_evaluate(data, load_recipe("default", patterns), out)
    except RuntimeUnavailable:
        stdout.print("ImageNet weights cannot be downloaded here, so a small network is trained from scratch.")
        return train_and_evaluate(data, load_recipe("scratch", patterns), out, TrainOptions("none", force=True))


def _predict(run: Path, folder: Path) -> None:
    from lungscope.bundle.bundle import load_bundle
    from lungscope.data.manifest import read_manifest
    from lungscope.inference.overlay_files import write_overlays
    from lungscope.inference.predictor import Predictor
    from lungscope.inference.sources import Source

    predictor = Predictor(load_bundle(run))
    tests = read_manifest(run / "manifest.csv").split("test")
    path = tests.paths[int(tests.labels.argmax())]  # one of a class that is not the reference
    results = predictor.assess_files([path], heatmaps=True)
    print_results(write_overlays(results, [Source(path, path.parent)], folder), predictor, 1, None)
