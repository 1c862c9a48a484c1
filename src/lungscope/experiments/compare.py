"""Recipes against each other: every recipe with every seed on the same patients."""

import json
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungscope.config.recipe import Recipe, load_recipe
from lungscope.config.settings import DataSettings
from lungscope.data.dataset import prepare
from lungscope.data.manifest import Manifest, write_csv
from lungscope.data.split import assign_splits, folds, leave_out
from lungscope.data.subset import part_of_training
from lungscope.errors import ConfigError, LungscopeError
from lungscope.evaluation.comparison import Candidate, Cost, Failure, compare
from lungscope.evaluation.cost import parameters
from lungscope.evaluation.held_out_strata import held_out_strata
from lungscope.evaluation.learning_curve import learning_point
from lungscope.experiments.training_run import TrainingRun, run_training, weights_for
from lungscope.reports.leaderboard import Leaderboard, write_leaderboard
from lungscope.reports.section import Section
from lungscope.reports.sections.held_out_strata import held_out_strata_csv, held_out_strata_section
from lungscope.reports.sections.learning_curve import learning_csv, learning_section
from lungscope.runtime.engine import usable_cores
from lungscope.stats.patients import count_patients
from lungscope.system.files import claim_folder, write_atomically
from lungscope.system.progress import note

MARKER = "comparison.json"


@dataclass(frozen=True)
class Protocol:
    """What is the same for every recipe of a comparison."""

    overrides: tuple[str, ...] = ()
    """`section.key=value`; those of `data.` decide about the split."""
    seeds: int = 1
    """Training runs per recipe and fold; the first has the recipe's own seed, the next count up."""
    folds: int = 0
    """Parts of a cross-validation in which every patient is tested once; 0 for one split."""
    leave_out: str = ""
    """A column of the table, such as `stratum` or `site`, whose values are held out in turn instead."""
    fractions: tuple[float, ...] = (1.0,)
    """Of the training patients, ascending, each a part of the larger ones. Methods are compared at the last; more than
    one give a learning curve."""
    weights: str = "imagenet"
    """"imagenet", "none", a safetensors file, or a folder of BACKBONE*.safetensors. Networks that have no pre-trained
    weights start from scratch."""
    device: str = "auto"
    """"auto", "cpu" or "cuda"."""

    @cached_property
    def data(self) -> DataSettings:
        """How to split. A recipe's own way does not count: all are held against each other on one split."""
        return load_recipe("default", [each for each in self.overrides if each.startswith("data.")]).data

    def describe(self, splits: Sequence[Manifest]) -> str:
        """How training and tested images were kept apart, for the leaderboard."""
        seeds = f"{self.seeds} seed{'s' if self.seeds > 1 else ''} per recipe"
        if self.leave_out:
            return (
                f"Each {self.leave_out} is held out in turn and tested by a model that saw neither its images nor "
                f"their patients; the predictions of all {len(splits)} are put together. {seeds}."
            )
        if self.folds:
            return (
                f"{self.folds} folds by patient, every image tested once by a model that saw neither it nor its "
                f"patient; the predictions of all folds are put together. {seeds}."
            )
        counts = splits[0].splits
        parts = ", ".join(f"{name} {counts.count(name)}" for name in ("train", "validation", "test"))
        kind = "by image, so patients leak" if self.data.split == "random" else "the same for every recipe"
        optimistic = "" if "test" in counts else " There is no test part: figures on validation are optimistic."
        return f"One split, {kind}: {parts} images. {seeds}.{optimistic}"


@dataclass(frozen=True)
class _Job:
    """A comparison under way."""

    protocol: Protocol
    out: Path
    manifest: Manifest
    splits: tuple[Manifest, ...]
    """The whole table once per fold, or once, with its splits assigned."""

    @cached_property
    def common(self) -> Manifest:
        """The images that every recipe is tested on."""
        tested = [np.array(each.splits) == each.held_out for each in self.splits]
        return self.manifest.select(np.flatnonzero(np.any(tested, axis=0)))

    def table(self, i: int, fraction: float) -> Path:
        """The CSV of a fold at a fraction."""
        return self.out / "splits" / (f"{i + 1}.csv" if fraction == 1 else f"{i + 1}-{fraction:g}.csv")

    def runs(self, name: str, recipe: Recipe, fraction: float) -> Iterator[TrainingRun]:
        """The training runs of a recipe whose seed is set, one per fold."""
        folder = self.out / name / (f"fraction-{fraction:g}" if fraction < 1 else "") / f"seed-{recipe.seed}"
        weights = weights_for(recipe.network.backbone, self.protocol.weights)
        for i in range(len(self.splits)):
            place = folder / f"fold-{i + 1}" if len(self.splits) > 1 else folder
            yield TrainingRun(recipe, self.table(i, fraction), place, weights, self.protocol.device)


DEFAULTS = Protocol()


def compare_recipes(
    source: Path, recipes: Sequence[str], out: Path, protocol: Protocol = DEFAULTS, *, force: bool = False
) -> Leaderboard:
    """Train every recipe with every seed on the same split or folds, compare them, and write the leaderboard.

    What is finished in `out` is not trained again, so a comparison that was stopped goes on. A recipe that
    fails is a line with its reason.

    Args:
        source: class folders, folders of splits, or a CSV.
        recipes: names or TOML files.
        out: folder of the comparison; each run folder is `out/RECIPE/seed-S` or `out/RECIPE/seed-S/fold-F`.
        protocol: how they are trained and tested.
        force: empty a former comparison in `out`.

    Raises:
        ConfigError: no such recipe, contradictory options, or `out` holds another comparison.
        DataError: the data cannot be split, or every recipe failed.
    """
    methods = {_name(recipe): load_recipe(recipe, protocol.overrides) for recipe in recipes}
    if len(methods) < len(recipes):
        raise ConfigError("Two recipes have the same name. Give their files different names.")
    _check(protocol)
    size, leaks = next(iter(methods.values())).image.size, protocol.data.split == "random"
    data = prepare(source, protocol.data, size, 0, allow_leakage=leaks)
    job = _Job(protocol, out, data.manifest, _splits(data.manifest, protocol))
    _claim(job, force=force)
    found, failures = _train_all(methods, job)
    common, candidates = job.common, [by_fraction[protocol.fractions[-1]] for by_fraction in found]
    board = Leaderboard(
        compare(
            common.labels, common.patients, common.classes, candidates, failures,
            has_reference=common.has_reference,
        ),
        protocol.describe(job.splits), common.fingerprint(), machine(), data.notes,
        (*_strata(candidates, job), *_learning(found, job)),
    )  # fmt: skip
    write_leaderboard(out, board)
    return board


def parse_fractions(text: str) -> tuple[float, ...]:
    """Parts of the training patients, ascending, from such as "0.1,0.25,0.5,1".

    Raises:
        ConfigError: one is not a number above 0 and at most 1.
    """
    try:
        found = tuple(sorted({float(each) for each in text.split(",")}))
    except ValueError:
        raise ConfigError(f"--fractions {text!r} is not a list of numbers. Write 0.25,0.5,1.") from None
    if not all(0 < each <= 1 for each in found):
        raise ConfigError(f"--fractions {text!r}: each must be above 0 and at most 1. Write 0.25,0.5,1.")
    return found


def machine() -> str:
    """This machine in a few words, without its name."""
    return f"{platform.system()} {platform.machine()}, {usable_cores()} cores"


def _name(recipe: str) -> str:
    return Path(recipe).stem if recipe.endswith(".toml") else recipe


def _check(protocol: Protocol) -> None:
    if protocol.seeds < 1:
        raise ConfigError(f"--seeds {protocol.seeds}: at least one run is needed. Use 3 to tell methods apart.")
    ways = {
        f"--folds {protocol.folds}": protocol.folds, f"--leave-out {protocol.leave_out}": protocol.leave_out,
        f"data.split = {protocol.data.split!r}": protocol.data.split in ("random", "predefined"),
    }  # fmt: skip
    if len(given := [way for way, asked in ways.items() if asked]) > 1:
        raise ConfigError(f"{given[0]} and {given[1]} are two ways of splitting. Leave one out.")


def _splits(manifest: Manifest, protocol: Protocol) -> tuple[Manifest, ...]:
    if not protocol.folds and not protocol.leave_out:
        return (manifest,)
    inner = protocol.data.model_copy(update={"split": "patients", "test": 0.0})
    turns = leave_out(manifest, protocol.leave_out) if protocol.leave_out else folds(manifest, protocol.folds, 0)
    return tuple(_with_validation(turn, inner) for turn in turns)


def _with_validation(turn: Manifest, inner: DataSettings) -> Manifest:
    """A table whose held-out part is the test, with validation drawn by patient out of the training rows."""
    splits = np.array(turn.splits, dtype=object)
    learned = splits == "train"
    splits[splits == turn.held_out] = "test"
    splits[learned] = assign_splits(turn.select(learned), inner, 0)[0].splits
    return replace(turn, splits=tuple(splits.tolist()))


def _claim(job: _Job, *, force: bool) -> None:
    """Take a folder for a comparison, or go on in it when it holds this very one, and write the tables of its splits.

    Raises:
        ConfigError: it holds a comparison on other data or another split.
        OutputError: it holds something else.
    """
    protocol = job.protocol
    told = {"data": job.manifest.fingerprint(), "folds": protocol.folds, "leave_out": protocol.leave_out}
    text = json.dumps(told)
    marker = job.out / MARKER
    if not marker.exists() or force:
        claim_folder(job.out, marker=MARKER, force=force)
        write_atomically(marker, text)
    elif marker.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{job.out}: holds a comparison on other data, another split or other folds. "
            "Choose another --out or pass --force."
        )
    for i, split in enumerate(job.splits):
        for fraction in protocol.fractions:
            write_csv(part_of_training(split, fraction), job.table(i, fraction))


def _train_all(methods: dict[str, Recipe], job: _Job) -> tuple[list[dict[float, Candidate]], list[Failure]]:
    """Every method at every fraction; one that fails at any has a reason instead."""
    found, failures = [], []
    for name, recipe in methods.items():
        try:
            found.append({each: _candidate(name, recipe, job, each) for each in job.protocol.fractions})
        except (LungscopeError, RuntimeError, MemoryError) as error:  # PyTorch's own are RuntimeErrors
            note(f"{name} failed: {error}")
            failures.append(Failure(name, " ".join(str(error).split())))
    return found, failures


def _candidate(name: str, recipe: Recipe, job: _Job, fraction: float) -> Candidate:
    common, seeds = job.common, range(recipe.seed, recipe.seed + job.protocol.seeds)
    data = job.protocol.data.model_copy(update={"split": "predefined"})
    row = {path: i for i, path in enumerate(common.paths)}
    folders, results, probabilities = [], [], list[NDArray[np.float32]]()
    for seed in seeds:
        columns = np.full((len(common), len(common.classes)), np.nan, np.float32)
        for run in job.runs(name, recipe.model_copy(update={"seed": seed, "data": data}), fraction):
            folders.append(run.folder)
            results.append(found := run_training(run))
            columns[[row[path] for path in found.paths]] = found.probabilities
        probabilities.append(columns)
    times = [each.training_s for each in results if each.training_s is not None]
    cost = Cost(
        parameters=parameters(folders[0]),
        training_s=float(np.mean(times)) if len(times) == len(results) else None,
        images_per_s=float(np.median([each.images_per_s for each in results])),
        milliseconds=float(np.median([each.milliseconds for each in results])),
    )
    return Candidate(name, tuple(seeds), tuple(probabilities), cost)


def _strata(candidates: Sequence[Candidate], job: _Job) -> tuple[Section, ...]:
    """What each method does on each stratum that was held out, and its table beside the leaderboard."""
    if not job.protocol.leave_out:
        return ()
    common = job.common
    found = [held_out_strata(each, common, job.protocol.leave_out) for each in candidates]
    write_atomically(job.out / "strata.csv", held_out_strata_csv(found))
    return (held_out_strata_section(found),)


def _learning(found: Sequence[dict[float, Candidate]], job: _Job) -> tuple[Section, ...]:
    """The learning curve, and its table beside the leaderboard."""
    if len(job.protocol.fractions) == 1:
        return ()
    common, sizes = job.common, {each: _learned_from(job.splits, each) for each in job.protocol.fractions}
    points = [
        learning_point(candidate, each, sizes[each], common.labels, common.patients, common.classes)
        for by_fraction in found
        for each, candidate in by_fraction.items()
    ]
    write_atomically(job.out / "learning.csv", learning_csv(points))
    return (learning_section(points),) if points else ()


def _learned_from(splits: Sequence[Manifest], fraction: float) -> tuple[int, int]:
    """Training images and patients at a fraction, over folds the mean."""
    parts = [part_of_training(each, fraction).split("train") for each in splits]
    images, patients = [len(part) for part in parts], [count_patients(part.patients) for part in parts]
    return round(float(np.mean(images))), round(float(np.mean(patients)))
