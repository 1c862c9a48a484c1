"""The leaderboard as words, page and CSV."""

import csv
import io
import re

import numpy as np
import pytest

from lungscope.evaluation.comparison import Candidate, Comparison, Cost, Failure, compare
from lungscope.reports.leaderboard import Leaderboard, leaderboard_csv, render_leaderboard, verdicts, write_leaderboard

N = 200
LABELS = np.arange(N) % 2


def build(skills: dict[str, float], seeds: int, failures=(), labels=LABELS) -> Comparison:
    def rows(skill: float, seed: int) -> np.ndarray:
        p = 1 / (1 + np.exp(-(np.random.default_rng(seed).normal(size=N) + skill * (LABELS - 0.5))))
        return np.column_stack([1 - p, p])

    candidates = [
        Candidate(
            name, tuple(range(seeds)), tuple(rows(skill, 10 * i + s) for s in range(seeds)),
            Cost(parameters=2_223_872, training_s=61.25, images_per_s=None, milliseconds=3.14),
        )
        for i, (name, skill) in enumerate(skills.items())
    ]  # fmt: skip
    patients = [f"p{i // 2}" for i in range(N)]
    return compare(labels, patients, ("NORMAL", "PNEUMONIA"), candidates, failures, resamples=200)


def page(comparison: Comparison) -> str:
    return render_leaderboard(Leaderboard(comparison, "One split.", "ab" * 32, "Linux, 2 cores", ("<b>hm",)))


def test_better_is_said_only_with_three_seeds() -> None:
    told = " ".join(verdicts(build({"good": 4, "bad": 0.5, "close": 4}, 3)))
    assert re.search(r"It is better than bad: ahead with each of 3 seeds, .* \(p below 0.05 after", told)
    assert "cannot be told apart from" in told
    two = " ".join(verdicts(build({"good": 4, "bad": 0.5}, 2)))
    assert "better than" not in two
    assert "With 2 training runs per method none is called better" in two
    assert "--seeds 3" in two


def test_a_single_method_and_one_class_are_told_plainly() -> None:
    assert verdicts(build({"good": 4}, 1))[-1] == "There is no other method to hold it against."
    alone = build({"good": 4, "bad": 1}, 1, labels=np.ones(N, int))
    assert "No AUROC can be given (every case is PNEUMONIA)" in verdicts(alone)[0]
    assert "every case is PNEUMONIA" in page(alone)


def test_the_page_is_self_contained_and_shows_every_method() -> None:
    text = page(build({"good & <new>": 4, "bad": 0.5}, 3, [Failure("c", "needs 9 GiB <more>")]))
    for wanted in ("good &amp; &lt;new&gt;", "2,223,872", "needs 9 GiB &lt;more&gt;", "± 0.", "&lt;b&gt;hm", "worse"):
        assert wanted in text, wanted
    assert not re.search(r"(src|href)=\"(?!#|data:)", text)
    assert "<script" not in text
    assert len(re.findall(r'<svg[^>]*aria-labelledby="all-', text)) == 2
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert page(build({"a": 1}, 1)) == page(build({"a": 1}, 1))


def test_a_dozen_methods_fit_into_the_plots() -> None:
    text = page(build({f"m{i}": 0.3 * i for i in range(13)}, 1))
    assert all(f">m{i}<" in text for i in range(13))


def test_the_csv_holds_figures_tests_and_failures() -> None:
    comparison = build({"good": 4, "bad": 0.5}, 3, [Failure("c", "no weights, no fun")])
    rows = list(csv.DictReader(io.StringIO(leaderboard_csv(comparison))))
    first, second, failed = rows
    assert (first["method"], first["rank"], first["verdict"]) == ("good", "1", "leader")
    assert float(second["auroc_p_holm"]) == comparison.standings[1].difference.auroc.corrected
    assert float(first["sensitivity_at_0.7"]) == comparison.standings[0].thresholds[1].sensitivity.value
    assert second["verdict"] == "worse"
    assert first["images_per_s"] == ""
    assert (failed["method"], failed["error"], failed["auroc"]) == ("c", "no weights, no fun", "")


def test_both_files_are_written(tmp_path) -> None:
    write_leaderboard(tmp_path / "new", Leaderboard(build({"a": 1}, 1), "One split.", "ab", "here"))
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"leaderboard.html", "leaderboard.csv"}


@pytest.mark.parametrize("classes", [("NORMAL", "A", "B"), ("A", "B", "C", "D")])
def test_more_classes_without_a_reference_leave_out_the_threshold(classes) -> None:
    rng = np.random.default_rng(0)
    labels, p = rng.integers(0, len(classes), N), rng.dirichlet(np.ones(len(classes)), N)
    found = compare(
        labels, [f"p{i}" for i in range(N)], classes, [Candidate("a", (0,), (p,))],
        has_reference=classes[0] == "NORMAL", resamples=50,
    )  # fmt: skip
    text = page(found)
    assert ("From 0.5 to 0.7" in text) is (classes[0] == "NORMAL")
    assert ("no class is the reference" in text) is (classes[0] != "NORMAL")
    assert "AUROC, mean of classes" in text
