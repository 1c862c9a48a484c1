"""Recipes against each other: every recipe with every seed on the same patients, or models that exist already."""

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe, load_recipe
from lungscope.config.settings import DataSettings
from lungscope.data.dataset import prepare
from lungscope.data.manifest import Manifest, write_csv
from lungscope.data.split import assign_splits, folds
from lungscope.data.subset import part_of_training
from lungscope.errors import ConfigError, LungscopeError
from lungscope.evaluation.comparison import Candidate, Cost, Failure, compare
from lungscope.evaluation.cost import parameters
from lungscope.evaluation.learning_curve import learning_point
from lungscope.experiments.training_run import TrainingRun, run_cell, weights_for
from lungscope.reports.leaderboard import Leaderboard, write_leaderboard
from lungscope.reports.section import Section
from lungscope.reports.sections.learning_curve import learning_csv, learning_section
from lungscope.runtime.engine import usable_cores
from lungscope.system.files import claim_folder, write_atomically
from lungscope.system.progress import note

MARKER = "contest.json"


@dataclass(frozen=True)
class Protocol:
    """What is the same for every recipe of a contest."""

    data: DataSettings
    seeds: int
    folds: int
    """0: one split."""
    weights: str
    device: str
    fractions: tuple[float, ...] = (1.0,)
    """Of the training patients, ascending; methods are compared at the last."""


def compare_recipes(
    source: Path,
    recipes: Sequence[str],
    out: Path,
    *,
    overrides: Sequence[str] = (),
    seeds: int = 1,
    folds: int = 0,
    fractions: Sequence[float] = (1.0,),
    weights: str = "imagenet",
    device: str = "auto",
    force: bool = False,
) -> Leaderboard:
    """Train every recipe with every seed on the same split or folds, compare them, and write the leaderboard.

    What is finished in `out` is not trained again, so a contest that was stopped goes on. A recipe that
    fails is a line with its reason.

    Args:
        source: class folders, folders of splits, or a CSV.
        recipes: names or TOML files. Their own way of splitting does not count here.
        out: folder of the contest; each run folder is `out/RECIPE/seed-S` or `out/RECIPE/seed-S/fold-F`.
        overrides: `section.key=value` for every recipe; those of `data.` decide about the split.
        seeds: training runs per recipe and fold; the first has the recipe's own seed, the next count up.
        folds: parts of a cross-validation in which every patient is tested once; 0 for one split.
        fractions: of the training patients, each a part of the larger ones; more than one give a learning curve.
        weights: "imagenet", "none", a safetensors file, or a folder of BACKBONE*.safetensors. Networks that
            have no pre-trained weights start from scratch.
        device: "auto", "cpu" or "cuda".
        force: empty a former contest in `out`.

    Raises:
        ConfigError: no such recipe, contradictory options, or `out` holds another contest.
        DataError: the data cannot be split, or every recipe failed.
    """
    methods = {_name(recipe): load_recipe(recipe, overrides) for recipe in recipes}
    rules = Protocol(_data_settings(overrides), seeds, folds, weights, device, tuple(sorted(set(fractions))))
    _check(rules, recipes, methods)
    data = prepare(
        source, rules.data, next(iter(methods.values())).image.size, 0,
        allow_leakage=rules.data.split == "random",
    )  # fmt: skip
    splits = _splits(data.manifest, rules)
    claim(out, rules, data.manifest, force=force)
    _write_splits(out, splits, rules)
    common = data.manifest.select(np.flatnonzero(np.any([_tested(each) for each in splits], axis=0)))
    found, failures = _train_all(methods, rules, out, common)
    candidates = [by_fraction[rules.fractions[-1]] for by_fraction in found]
    board = Leaderboard(
        compare(
            common.labels, common.patients, common.classes, candidates, failures,
            has_reference=common.has_reference,
        ),
        _protocol(rules, splits), common.fingerprint(), machine(), data.notes,
        _learning(found, rules, splits, common, out) if len(rules.fractions) > 1 else (),
    )  # fmt: skip
    write_leaderboard(out, board)
    return board


def parse_fractions(text: str) -> tuple[float, ...]:
    """Parts of the training patients, such as "0.1,0.25,0.5,1".

    Raises:
        ConfigError: one is not a number above 0 and at most 1.
    """
    try:
        found = tuple(float(each) for each in text.split(","))
    except ValueError:
        raise ConfigError(f"--fractions {text!r} is not a list of numbers. Write 0.25,0.5,1.") from None
    if not all(0 < each <= 1 for each in found):
        raise ConfigError(f"--fractions {text!r}: each must be above 0 and at most 1. Write 0.25,0.5,1.")
    return found


def _train_all(
    methods: dict[str, Recipe], rules: Protocol, out: Path, common: Manifest
) -> tuple[list[dict[float, Candidate]], list[Failure]]:
    """Every method at every fraction; one that fails at any has a reason instead."""
    found, failures = [], []
    for name, recipe in methods.items():
        try:
            found.append({each: _candidate(name, recipe, rules, out, common, each) for each in rules.fractions})
        except (LungscopeError, RuntimeError, MemoryError) as error:  # PyTorch's own are RuntimeErrors
            note(f"{name} failed: {error}")
            failures.append(Failure(name, " ".join(str(error).split())))
    return found, failures


def _learning(
    found: Sequence[dict[float, Candidate]],
    rules: Protocol,
    splits: Sequence[Manifest],
    common: Manifest,
    out: Path,
) -> tuple[Section, ...]:
    """The learning curve, and its table beside the leaderboard."""
    sizes = {each: _learned_from(splits, each) for each in rules.fractions}
    points = [
        learning_point(candidate, each, sizes[each], common.labels, common.patients, common.classes)
        for by_fraction in found
        for each, candidate in by_fraction.items()
    ]
    write_atomically(out / "learning.csv", learning_csv(points))
    return (learning_section(points),) if points else ()


def _learned_from(splits: Sequence[Manifest], fraction: float) -> tuple[int, int]:
    """Training images and patients at a fraction, over folds the mean."""
    parts = [part_of_training(each, fraction).split("train") for each in splits]
    images, patients = ([len(part) for part in parts], [len(set(part.patients)) for part in parts])
    return round(float(np.mean(images))), round(float(np.mean(patients)))


def _write_splits(out: Path, splits: Sequence[Manifest], rules: Protocol) -> None:
    for i, manifest in enumerate(splits):
        for fraction in rules.fractions:
            write_csv(part_of_training(manifest, fraction), _split_path(out, i, fraction))


def claim(out: Path, rules: Protocol, manifest: Manifest, *, force: bool) -> None:
    """Take a folder for a contest, or go on in it when it holds this very one.

    Raises:
        ConfigError: it holds a contest on other data or another split.
        OutputError: it holds something else.
    """
    text = json.dumps({"data": manifest.fingerprint(), "folds": rules.folds})
    marker = out / MARKER
    if not marker.exists() or force:
        claim_folder(out, marker=MARKER, force=force)
        write_atomically(marker, text)
    elif marker.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{out}: holds a contest on other data, another split or other folds. Choose another --out or pass --force."
        )


def machine() -> str:
    """This machine in a few words, without its name."""
    return f"{platform.system()} {platform.machine()}, {usable_cores()} cores"


def _name(recipe: str) -> str:
    return Path(recipe).stem if recipe.endswith(".toml") else recipe


def _data_settings(overrides: Sequence[str]) -> DataSettings:
    # A recipe's own protocol does not count: all are held against each other on one split.
    ours = [each for each in overrides if each.startswith("data.")]
    return load_recipe("default", ours).data


def _check(rules: Protocol, recipes: Sequence[str], methods: dict[str, Recipe]) -> None:
    if len(methods) < len(recipes):
        raise ConfigError("Two recipes have the same name. Give their files different names.")
    if rules.seeds < 1:
        raise ConfigError(f"--seeds {rules.seeds}: at least one run is needed. Use 3 to tell methods apart.")
    if rules.folds and rules.data.split in ("random", "predefined"):
        raise ConfigError(
            f"--folds {rules.folds} and data.split = {rules.data.split!r} are two ways of splitting. Leave one out."
        )


def _splits(manifest: Manifest, rules: Protocol) -> list[Manifest]:
    """The whole table once per fold, or once, with its splits assigned."""
    if not rules.folds:
        return [manifest]
    inner = rules.data.model_copy(update={"split": "patients", "test": 0.0})
    return [_with_validation(fold, inner) for fold in folds(manifest, rules.folds, 0)]


def _with_validation(fold: Manifest, inner: DataSettings) -> Manifest:
    """A fold whose held-out part is the test, with validation drawn by patient out of the rest."""
    tested = np.array(fold.splits) == "validation"
    rest, _ = assign_splits(fold.select(~tested), inner, 0)
    splits = np.full(len(fold), "test", dtype=object)
    splits[~tested] = rest.splits
    return replace(fold, splits=tuple(splits.tolist()))


def _tested(manifest: Manifest) -> NDArray[np.bool_]:
    return np.array([each == manifest.held_out for each in manifest.splits])


def _split_path(out: Path, i: int, fraction: float) -> Path:
    return out / "splits" / (f"{i + 1}.csv" if fraction == 1 else f"{i + 1}-{fraction:g}.csv")


def _candidate(name: str, recipe: Recipe, rules: Protocol, out: Path, common: Manifest, fraction: float) -> Candidate:
    row = {path: i for i, path in enumerate(common.paths)}
    results, probabilities = [], []
    for seed in _seeds(recipe, rules):
        columns = np.full((len(common), len(common.classes)), np.nan, np.float32)
        for cell in _cells(name, recipe, seed, rules, out, fraction):
            results.append(found := run_cell(cell))
            columns[[row[path] for path in found.paths]] = found.probabilities
        probabilities.append(columns)
    times = [each.training_s for each in results]
    first = next(_cells(name, recipe, recipe.seed, rules, out, fraction)).folder
    cost = Cost(
        parameters=parameters(first),
        training_s=None if None in times else float(np.mean([each for each in times if each is not None])),
        images_per_s=float(np.median([each.images_per_s for each in results])),
        milliseconds=float(np.median([each.milliseconds for each in results])),
    )
    return Candidate(name, tuple(_seeds(recipe, rules)), tuple(probabilities), cost)


def _seeds(recipe: Recipe, rules: Protocol) -> range:
    return range(recipe.seed, recipe.seed + rules.seeds)


def _cells(name: str, recipe: Recipe, seed: int, rules: Protocol, out: Path, fraction: float) -> Iterator[TrainingRun]:
    data = rules.data.model_copy(update={"split": "predefined"})
    once = recipe.model_copy(update={"seed": seed, "data": data})
    place = out / name if fraction == 1 else out / name / f"fraction-{fraction:g}"
    folder = place / f"seed-{seed}"
    for i in range(max(1, rules.folds)):
        yield TrainingRun(
            once, _split_path(out, i, fraction), folder / f"fold-{i + 1}" if rules.folds else folder,
            weights_for(once.network.backbone, rules.weights), rules.device,
        )  # fmt: skip


def _protocol(rules: Protocol, splits: Sequence[Manifest]) -> str:
    seeds = f"{rules.seeds} seed{'s' if rules.seeds > 1 else ''} per recipe"
    if rules.folds:
        return (
            f"{rules.folds} folds by patient, every image tested once by a model that saw neither it nor its "
            f"patient; the predictions of all folds are put together. {seeds}."
        )
    counts = splits[0].splits
    parts = ", ".join(f"{name} {counts.count(name)}" for name in ("train", "validation", "test"))
    kind = "by image, so patients leak" if rules.data.split == "random" else "the same for every recipe"
    optimistic = "" if "test" in counts else " There is no test part: figures on validation are optimistic."
    return f"One split, {kind}: {parts} images. {seeds}.{optimistic}"
