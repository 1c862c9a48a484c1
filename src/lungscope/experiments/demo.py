"""The whole main job, on phantoms or on a folder of the user's own."""

from pathlib import Path

from rich.console import Console

from lungscope.bundle.bundle import load_bundle
from lungscope.cli import show
from lungscope.config.recipe import load_recipe
from lungscope.data.manifest import read_manifest
from lungscope.data.phantoms.phantom import write_phantoms
from lungscope.errors import RuntimeUnavailable
from lungscope.experiments.evaluate_run import Evaluated
from lungscope.experiments.train_run import train_and_evaluate
from lungscope.inference.batch import Source, write_overlays
from lungscope.inference.predictor import Predictor
from lungscope.system.files import claim_folder

PATIENTS = 400
PHANTOM_SIZE = 256
SEED = 7


def run_demo(out: Path, data: Path | None, weights: str, *, force: bool = False) -> None:
    """Make phantoms, train, evaluate and predict one image with its heat map; print where everything is.

    Args:
        out: folder for all of it.
        data: class folders of the user's own instead of phantoms.
        weights: as for training. "auto" takes ImageNet's, and a small network from scratch where they
            cannot be downloaded.
        force: replace a former demo in `out`.
    """
    console = Console(highlight=False)
    claim_folder(out, marker="run/recipe.toml", force=force)
    if data is None:
        console.print(f"[bold]1 of 4[/bold] Drawing phantoms of {PATIENTS} patients ...")
        data = write_phantoms(out / "phantoms", patients=PATIENTS, seed=SEED, size=PHANTOM_SIZE)
    console.print("[bold]2 of 4[/bold] Auditing, splitting and training ...")
    done = _train(data, weights, out / "run", console)
    console.print("[bold]3 of 4[/bold] On patients the model has not seen:")
    show.evaluation(done)
    console.print("[bold]4 of 4[/bold] Predicting one image, with its heat map ...")
    _predict(out / "run", out / "heatmaps")
    console.print(
        f"\nReport:    {done.report}\nHeat map:  {out / 'heatmaps'}\nModel:     {out / 'run'}", soft_wrap=True
    )
    console.print(f"Next:      lungscope predict YOUR_IMAGES --model {out / 'run'}", soft_wrap=True)


def _train(data: Path, weights: str, out: Path, console: Console) -> Evaluated:
    if weights != "auto":
        return train_and_evaluate(data, load_recipe(), out, weights=weights)
    try:
        return train_and_evaluate(data, load_recipe(), out, weights="imagenet")
    except RuntimeUnavailable:
        console.print(
            "ImageNet weights cannot be downloaded here, so a small network is trained from scratch."
        )
        return train_and_evaluate(data, load_recipe("scratch"), out, weights="none", force=True)


def _predict(run: Path, folder: Path) -> None:
    predictor = Predictor(load_bundle(run))
    tests = read_manifest(run / "manifest.csv").split("test")
    path = tests.paths[int(tests.labels.argmax())]  # one of a class that is not the reference
    sources = [Source(path, path.parent)]
    readings = write_overlays(predictor.assess_files([path], heatmaps=True), sources, folder)
    show.readings(readings, predictor, 1, None)
