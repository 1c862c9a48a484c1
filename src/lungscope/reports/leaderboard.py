"""A comparison as a page, as a table for a spreadsheet, and in plain words."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from lungscope.evaluation.comparison import FEWEST_SEEDS, Comparison, Standing
from lungscope.evaluation.paired import LEVEL, Test
from lungscope.reports import leaderboard_plots, summary
from lungscope.reports.page import render_page
from lungscope.reports.section import Section
from lungscope.stats.estimate import Estimate
from lungscope.system.files import write_atomically

ESTIMATES = ("auroc", "accuracy", "sensitivity", "specificity", "f1")
COSTS = ("parameters", "training_s", "images_per_s", "milliseconds")


@dataclass(frozen=True)
class Leaderboard:
    """A comparison and how it came about."""

    comparison: Comparison
    protocol: str
    """How training and tested images were kept apart, in plain words."""
    data_fingerprint: str
    machine: str
    """Where the speed was measured."""
    notes: tuple[str, ...] = ()
    """What to know about data and models, in plain words."""
    sections: tuple[Section, ...] = ()
    """Further topics, such as the learning curve."""


def write_leaderboard(out: Path, board: Leaderboard) -> None:
    """Write `leaderboard.html` and `leaderboard.csv`, each whole or not at all.

    Raises:
        OutputError: the place cannot be written.
    """
    write_atomically(out / "leaderboard.csv", leaderboard_csv(board.comparison))
    write_atomically(out / "leaderboard.html", render_leaderboard(board))


def render_leaderboard(board: Leaderboard) -> str:
    """The page as HTML, self-contained; neither file names nor patients are in it."""
    standings = board.comparison.standings
    return render_page(
        "leaderboard.html", board=board, comparison=board.comparison, verdicts=verdicts(board.comparison),
        roc=leaderboard_plots.roc_plot(standings) if any(each.roc for each in standings) else None,
        aurocs=leaderboard_plots.auroc_plot(standings) if standings[0].auroc.value is not None else None,
        cost=cost, p_value=p_value, spread=spread, standing_word=standing_word,
        many=len(board.comparison.classes) > 2,
    )  # fmt: skip


def leaderboard_csv(comparison: Comparison) -> str:
    """One line per method with every estimate, interval, cost and test; failed methods last, with the reason."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _columns(), lineterminator="\n")
    writer.writeheader()
    for rank, standing in enumerate(comparison.standings, start=1):
        word = standing_word(comparison, standing)
        writer.writerow({"rank": rank, **_row(standing), "verdict": word})
    for failure in comparison.failures:
        writer.writerow({"method": failure.name, "error": failure.reason})
    return text.getvalue()


def verdicts(comparison: Comparison) -> tuple[str, ...]:
    """What the comparison says and what it does not, for a reader without statistics."""
    leader, *others = comparison.standings
    if leader.auroc.value is None:
        return (f"No AUROC can be given ({leader.auroc.reason}), so methods stand in the order of accuracy.",)
    lines = [f"{leader.name} has the highest AUROC, {leader.auroc.value:.3f}."]
    if not others:
        return (*lines, "There is no other method to hold it against.")
    lines += _apart(comparison) if comparison.decisive else [_too_few_seeds(comparison)]
    return (*lines, "The leader was picked on these very images, so its estimates are a little favourable.")


def standing_word(comparison: Comparison, standing: Standing) -> str:
    """In two or three words, how a method stands to the leader."""
    if standing.difference is None:
        return "leader"
    if standing.difference.auroc.corrected is None:
        return "not tested"
    if not comparison.decisive:
        return "too few seeds to say"
    return "worse" if standing.difference.significant else "not told apart"


def p_value(test: Test) -> str:
    """The corrected p-value as it is printed."""
    if test.corrected is None:
        return "–"
    return "< 0.001" if test.corrected < 0.001 else f"{test.corrected:.3f}"


def spread(standing: Standing) -> str:
    """Standard deviation over seeds, or that there is none."""
    return "one seed" if standing.spread is None else f"± {standing.spread:.3f} over {len(standing.seeds)} seeds"


def cost(standing: Standing, name: str) -> str:
    """One of `COSTS` as it is printed; a dash where it is not known."""
    value = getattr(standing.cost, name)
    if value is None:
        return "–"
    return f"{value:,}" if name == "parameters" else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _apart(comparison: Comparison) -> list[str]:
    others = comparison.standings[1:]
    behind = [each for each in others if each.difference and each.difference.significant]
    close = [each for each in others if each not in behind]
    lines = []
    if behind:
        lines.append(
            f"It is better than {summary.joined(tuple(each.name for each in behind))}: ahead with each of "
            f"{min(len(each.seeds) for each in comparison.standings)} seeds, and by more than chance "
            f"(p below {LEVEL:g} after correction for the number of methods)."
        )
    if close:
        lines.append(
            f"It cannot be told apart from {summary.joined(tuple(each.name for each in close))} on these images."
        )
    return lines


def _too_few_seeds(comparison: Comparison) -> str:
    fewest = min(len(each.seeds) for each in comparison.standings)
    runs = "one training run" if fewest == 1 else f"{fewest} training runs"
    return (
        f"With {runs} per method none is called better: a difference may be the seed's. "
        f"Compare recipes with --seeds {FEWEST_SEEDS} or more to tell."
    )


def _columns() -> list[str]:
    estimates = [f"{name}{end}" for name in ESTIMATES for end in ("", "_low", "_high")]
    tests = [f"{test}_{name}" for test in ("auroc", "accuracy") for name in ("difference", "p", "p_holm")]
    moved = [f"{name}_at_0.7" for name in ("sensitivity", "specificity", "ppv", "f1")]
    return [
        "rank", "method", "seeds", *estimates, "auroc_sd_over_seeds", *moved, *COSTS, *tests, "verdict", "error",
    ]  # fmt: skip


def _row(standing: Standing) -> dict[str, object]:
    row: dict[str, object] = {"method": standing.name, "seeds": " ".join(map(str, standing.seeds))}
    for name in ESTIMATES:
        estimate: Estimate = getattr(standing, name)
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    for at in standing.thresholds[1:]:
        row |= {
            f"{name}_at_{at.threshold:g}": getattr(at, name).value
            for name in ("sensitivity", "specificity", "ppv", "f1")
        }
    row |= {name: getattr(standing.cost, name) for name in COSTS} | {"auroc_sd_over_seeds": standing.spread}
    if behind := standing.difference:
        row |= {
            "auroc_difference": behind.auroc_difference.value, "auroc_p": behind.auroc.p_value,
            "auroc_p_holm": behind.auroc.corrected, "accuracy_difference": behind.accuracy_difference,
            "accuracy_p": behind.accuracy.p_value, "accuracy_p_holm": behind.accuracy.corrected,
        }  # fmt: skip
    return row
