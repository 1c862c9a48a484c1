"""Searching for better settings of a recipe with Optuna, by AUROC on validation images only."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from lungscope.config.recipe import Recipe, dump_recipe, load_recipe
from lungscope.data.dataset import Dataset, prepare
from lungscope.data.split import folds as fold_tables
from lungscope.errors import ConfigError, LungscopeError, TrainingDiverged
from lungscope.experiments.search_space import Choice, Space, search_space
from lungscope.system.files import write_atomically
from lungscope.system.progress import note
from lungscope.training.labelled_images import LabelledImages
from lungscope.training.train import train

SHOWN = 5
UNPRUNED = 3
"""Trials before any is stopped early."""


@dataclass(frozen=True)
class FinishedTrial:
    """One set of settings and what it came to."""

    number: int
    auroc: float
    """Mean over the folds' validation images."""
    settings: dict[str, str]


@dataclass(frozen=True)
class Study:
    """What a search found."""

    source: Path
    recipe: Path
    """The best settings, as a recipe."""
    finished: int
    pruned: int
    best: tuple[FinishedTrial, ...]
    """The best first."""


@dataclass(frozen=True)
class SearchPlan:
    """How long is searched, and on what."""

    overrides: tuple[str, ...] = ()
    """`section.key=value`; these settings are kept as they are."""
    trials: int = 20
    """Finished trials the study shall have, those of former calls and other workers included."""
    folds: int = 3
    """Parts; 1 uses the recipe's own validation split."""
    storage: str = ""
    """An Optuna URL that several workers share; empty: SQLite in the study's folder, for one worker."""
    weights: str = "imagenet"
    """"imagenet", "none", or a safetensors file."""
    device: str = "auto"
    """"auto", "cpu" or "cuda"."""


DEFAULTS = SearchPlan()


@dataclass(frozen=True)
class _Job:
    """What every trial of a study shares."""

    source: str
    plan: SearchPlan
    space: Space
    data: Dataset
    folds: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    """Rows to train on and rows to validate on, per fold."""

    def recipe(self, settings: dict[str, str]) -> Recipe:
        """The recipe with these settings."""
        return load_recipe(self.source, [*self.plan.overrides, *(f"{k}={v}" for k, v in settings.items())])


def run_study(source: Path, recipe: str, out: Path, plan: SearchPlan = DEFAULTS) -> Study:
    """Try settings until the study has `plan.trials` finished ones; write trials.csv and best.toml.

    Every trial is trained and validated on the same patient-grouped folds of everything but the test
    split, one fold after the other; one whose mean so far is below the median of former trials at that
    fold is stopped. Finished trials are kept in the storage, so a study that was stopped goes on, and the
    trial it was stopped in is tried again.

    Args:
        source: class folders, folders of splits, or a CSV.
        recipe: where to start from; see `search_space` for what is searched.
        out: folder for the study.
        plan: how long and on what.

    Raises:
        ConfigError: nothing left to search, or the study in the storage is another one.
        LungscopeError: as training does.
    """
    if plan.trials < 1 or plan.folds < 1:
        raise ConfigError(f"--trials {plan.trials} and --folds {plan.folds} must be at least 1. Raise them.")
    start = load_recipe(recipe, plan.overrides)
    space = search_space(start, plan.overrides)
    data = prepare(source, start.data, start.image.size, start.seed)
    job = _Job(recipe, plan, space, data, _folds(data, plan.folds, start.seed))
    out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with _only_worker(out / "study.lock", shared=bool(plan.storage)):
        study = optuna.create_study(
            storage=plan.storage or f"sqlite:///{(out / 'study.db').resolve()}",
            study_name=f"lungscope-{start.name}", direction="maximize", load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
        )  # fmt: skip
        _claim(study, job)
        # Each start draws anew, else a study that goes on would repeat its first trials.
        study.sampler = optuna.samplers.TPESampler(seed=None if plan.storage else start.seed + len(study.trials))
        if not plan.storage:  # what was running when the only worker was stopped
            for trial in study.get_trials(states=(TrialState.RUNNING,)):
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params)
        while len(_finished(study)) < plan.trials:
            _try(study, job)
            _write(study, job, out)
        return _write(study, job, out)


def _folds(data: Dataset, folds: int, seed: int) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """Rows of training and validation of each fold; test rows are in none."""
    if folds == 1:
        return ((data.rows("train"), data.rows("validation")),)
    rows = np.flatnonzero(np.array(data.manifest.splits) != "test")
    tables = fold_tables(data.manifest.select(rows), folds, seed)
    splits = [np.array(table.splits) for table in tables]
    return tuple((rows[each == "train"], rows[each == "validation"]) for each in splits)


def _claim(study: optuna.Study, job: _Job) -> None:
    """Refuse a study of other data, folds or settings: its figures could not be compared with ours."""
    ours = {"data": job.data.manifest.fingerprint(), "folds": job.plan.folds, "recipe": dump_recipe(job.recipe({}))}
    theirs = study.user_attrs
    if not theirs:
        for name, value in ours.items():
            study.set_user_attr(name, value)
    elif other := [name for name, value in ours.items() if theirs.get(name) != value]:
        raise ConfigError(
            f"The study {study.study_name!r} was begun with other {' and '.join(other)}. "
            "Go on with the same ones, or choose another --out or --storage."
        )


@contextmanager
def _only_worker(path: Path, *, shared: bool) -> Iterator[None]:
    """Keep a second process off the folder's own storage, whose running trials it would take for dead ones."""
    if shared:
        yield
        return
    with path.open("w", encoding="utf-8") as file:
        with suppress(ImportError):  # Windows refuses to open SQLite's journal twice by itself
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(
                    f"{path.parent}: another process tunes there. Wait, or share a study by --storage URL."
                ) from None
        yield


def _try(study: optuna.Study, job: _Job) -> None:
    """One trial, fold after fold, until it is finished or stopped."""
    trial = study.ask()
    for each in job.space:
        if isinstance(each, Choice):
            trial.suggest_categorical(each.name, each.values)
        else:
            trial.suggest_float(each.name, each.low, each.high, log=each.log)
    recipe, found = job.recipe(_settings(trial)), list[float]()
    try:
        for step, fold in enumerate(job.folds):
            found.append(_validation_auroc(recipe, job, *fold))
            trial.report(float(np.mean(found)), step)
            if step + 1 < len(job.folds) and trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                return
    except TrainingDiverged as error:  # such as a rate at which the loss is no number any more
        note(f"Trial {trial.number} failed: {error}")
        study.tell(trial, state=TrialState.PRUNED)
        return
    except LungscopeError:
        study.tell(trial, state=TrialState.FAIL)
        raise
    study.tell(trial, float(np.mean(found)))
    note(f"Trial {trial.number}: AUROC {np.mean(found):.4f}")


def _validation_auroc(recipe: Recipe, job: _Job, training: NDArray[np.int64], validation: NDArray[np.int64]) -> float:
    data, plan = job.data, job.plan
    shown, held_out = LabelledImages.of(data, training), LabelledImages.of(data, validation)
    trained = train(shown, held_out, len(data.manifest.classes), recipe, weights=plan.weights, device=plan.device)
    return max(epoch.validation_auroc for epoch in trained.history)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _write(study: optuna.Study, job: _Job, out: Path) -> Study:
    """Write what is known so far, and return it."""
    done = _finished(study)
    complete = [(each.value, each) for each in done if each.value is not None and each.state is TrialState.COMPLETE]
    ranked = sorted(complete, key=lambda pair: (-pair[0], pair[1].number))
    best = tuple(FinishedTrial(each.number, value, _settings(each)) for value, each in ranked)
    write_atomically(out / "trials.csv", _trials_csv(done, job.space))
    path = out / "best.toml"
    if best:
        recipe = job.recipe(best[0].settings)
        text = f"{recipe.name}, tuned: mean validation AUROC {best[0].auroc:.4f} in {len(done)} trials."
        named = recipe.model_copy(update={"name": f"{recipe.name}-tuned", "description": text})
        write_atomically(path, dump_recipe(named))
    return Study(job.data.source.path, path, len(done), len(done) - len(ranked), best[:SHOWN])


def _settings(trial: FrozenTrial | optuna.Trial) -> dict[str, str]:
    return {k: v if isinstance(v, str) else f"{v:.6g}" for k, v in trial.params.items()}


def _trials_csv(trials: Sequence[FrozenTrial], space: Space) -> str:
    text = io.StringIO()
    names = [each.name for each in space]
    writer = csv.DictWriter(text, ["trial", "state", "auroc", "folds", *names], lineterminator="\n")
    writer.writeheader()
    for trial in trials:
        steps = trial.intermediate_values
        auroc = trial.value if trial.value is not None else steps[max(steps)] if steps else None
        row = {"trial": trial.number, "state": trial.state.name.lower(), "auroc": auroc, "folds": len(steps)}
        writer.writerow(row | _settings(trial))
    return text.getvalue()
