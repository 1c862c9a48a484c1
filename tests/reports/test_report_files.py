"""What lies beside a report: card, checklists and data; filled where the run knows, and never invented."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from lungscope.bundle.bundle import load_bundle
from lungscope.bundle.card import Card
from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.evaluate import ModelReference, evaluate
from lungscope.evaluation.measurements import Measurements
from lungscope.reports.checklists import checklists_csv, checklists_markdown, fill_checklists, standing, wanted
from lungscope.reports.csv_files import curve_csvs, estimates_csv
from lungscope.reports.evaluation_json import evaluation_json
from lungscope.reports.facts import Facts, gather
from lungscope.reports.html import render_report
from lungscope.reports.model_card import card_markdown, model_card
from lungscope.reports.report import Origin, Report
from lungscope.reports.report_files import linked, render_card, write_report_files
from lungscope.reports.section import Section, SectionKey

RECIPE = """name = "default"
seed = 3
imbalance = "class-weights"
hard_examples = 3.0
[data]
split = "patients"
validation = 0.15
test = 0.2
[image]
scaling = "imagenet"
[network]
backbone = "mobilenetv2_100"
hidden = [64]
output = "softmax"
[augment]
rotation_deg = 7.0
style_transfer = 0.5
flip = 0.0
[head]
epochs = 60
keep = "auroc"
learning_rate = 0.001
[finetune]
epochs = 0
"""

ORIGIN = Origin(
    ModelReference("3f" * 32, "default", "onnxruntime", "fp32"), "9c" * 32, "test", "test", RECIPE, {"numpy": "2.0.0"}
)
ELSEWHERE = replace(ORIGIN, images="other")


@pytest.fixture(scope="module")
def card(model: Path) -> Card:
    counts: dict[str, int | str] = {"train": 1200, "validation": 200, "test": 300, "fingerprint": "f"}
    return replace(load_bundle(model).card, recipe=RECIPE, recipe_name="default", data=counts)


@pytest.fixture(scope="module")
def report(two) -> Report:
    return Report(
        two.evaluation(), ORIGIN,
        sections=(Section(SectionKey.HEATMAPS, "Heat maps", "They were checked.", ("Look | there.",)),),
    )  # fmt: skip


@pytest.fixture(scope="module")
def facts(report: Report, card: Card) -> Facts:
    return gather(report, card, ORIGIN)


def test_claim_has_its_44_items_and_tripod_its_27_in_52_parts(facts: Facts) -> None:
    claim, tripod = fill_checklists(facts)
    assert [each.number for each in claim.items] == [str(i) for i in range(1, 45)]
    assert len(tripod.items) == 52
    assert list(dict.fromkeys(int(re.sub(r"\D", "", each.number)) for each in tripod.items)) == list(range(1, 28))
    assert len({each.number for each in tripod.items}) == 52


def test_items_without_an_answer_ask_a_person_and_name_no_file(facts: Facts) -> None:
    for checklist in fill_checklists(facts):
        for each in checklist.items:
            assert each.topic
            if not each.answer:
                assert wanted(each).startswith("A person must supply this")
                assert not each.where
            else:
                assert each.where


@pytest.mark.parametrize("number", ["7", "11", "14", "16", "18", "36", "44"])
def test_claim_items_no_run_can_know_are_left_to_a_person(facts: Facts, number: str) -> None:
    claim = fill_checklists(facts)[0]
    assert next(each for each in claim.items if each.number == number).state == "not"


@pytest.mark.parametrize("number", ["5a", "8a", "17", "18a", "19", "20b"])
def test_tripod_items_no_run_can_know_are_left_to_a_person(facts: Facts, number: str) -> None:
    tripod = fill_checklists(facts)[1]
    assert next(each for each in tripod.items if each.number == number).state == "not"


def test_every_fact_is_used_somewhere(facts: Facts, report: Report, card: Card) -> None:
    told = card_markdown(model_card(report, card, ORIGIN)) + checklists_markdown(fill_checklists(facts))
    unused = [name for name, value in facts.items() if value and value not in told]
    assert not unused


def test_answers_are_the_runs_own(facts: Facts) -> None:
    assert "mobilenetv2_100" in facts["model"]
    assert "dense layers of 64" in facts["model"]
    assert "rotation up to 7°" in facts["augmentation"]
    assert "flip" not in facts["augmentation"]
    assert "50% of the images in the style of another one" in facts["augmentation"]
    assert "up to 3 times more often" in facts["augmentation"]
    assert "1,200 train" in facts["counts"]
    assert "auroc" in facts["selection"]
    assert "finetune" not in facts["training"]


def test_a_recipe_of_another_version_leaves_gaps_and_does_not_fail(report: Report, card: Card) -> None:
    bare = gather(report, replace(card, recipe='name = "old"\n', data={}), ELSEWHERE)
    assert [bare[name] for name in ("model", "training", "counts", "partitions")] == [""] * 4
    item = fill_checklists(bare)[0].items[21]
    assert wanted(item) == "A person must supply this."


def test_images_of_which_the_run_knows_nothing_are_not_called_external(report: Report, card: Card) -> None:
    claim = fill_checklists(gather(report, card, ELSEWHERE))[0]
    internal, external = claim.items[31], claim.items[32]
    assert not internal.answer
    assert "does not know whether the model has seen them" in external.answer
    assert "another institution" in wanted(external)
    assert "trained on" in gather(report, card, replace(ORIGIN, images="trained on"))["evaluated"]


def test_undefined_figures_are_told_with_the_reason(two, report: Report, card: Card) -> None:
    sick = two.labels > 0
    patients = tuple(name for name, kept in zip(two.patients, sick, strict=True) if kept)
    only = evaluate(
        check_cases(two.labels[sick], two.probabilities[sick], patients, two.classes), two.points(), resamples=50
    )
    told = gather(replace(report, evaluation=only), card, ORIGIN)["performance"]
    assert "AUROC undefined (every case is PNEUMONIA)" in told
    assert "nan" not in told.lower()


def test_the_standing_adds_up(facts: Facts) -> None:
    claim = fill_checklists(facts)[0]
    whole, part, no = (claim.count(state) for state in ("whole", "part", "not"))
    assert whole + part + no == 44
    assert f"{whole} answered" in standing(claim)


def test_the_csv_holds_every_item(facts: Facts) -> None:
    rows = list(csv.DictReader(io.StringIO(checklists_csv(fill_checklists(facts)))))
    assert len(rows) == 96
    assert all(row["answer"] or row["a_person_must_supply"] for row in rows)


def test_tables_in_markdown_have_as_many_cells_as_their_header(facts: Facts) -> None:
    lines = [line for line in checklists_markdown(fill_checklists(facts)).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {5}


def test_the_page_is_self_contained_and_escaped(report: Report, card: Card, facts: Facts) -> None:
    hostile = replace(report, sections=(Section(SectionKey.HEATMAPS, "Heat maps", "<script>alert(1)</script>"),))
    html = render_card(model_card(hostile, card, ORIGIN), fill_checklists(facts))
    assert "<script" not in html
    assert "&lt;script" in html
    assert "http" not in re.sub(r"http-equiv", "", html)
    assert set(re.findall(r'href="([^#"][^"]*)"', html)) == {"report.html"}
    anchors = set(re.findall(r'href="#([^"]+)"', html))
    assert anchors <= set(re.findall(r'id="([^"]+)"', html))


def test_figures_are_those_of_evaluation_json(two) -> None:
    document = evaluation_json(Measurements(two.evaluation()), ORIGIN.model, "e")
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(estimates_csv(document)))}
    assert float(rows["auroc"]["value"]) == document["auroc"]["value"]
    assert float(rows["auroc"]["low"]) == document["auroc"]["ci95"][0]
    assert rows["n"]["value"] == "300"
    point = document["operating_points"]["half"]["sensitivity"]
    assert float(rows["operating_points.half.sensitivity"]["high"]) == point["ci95"][1]


def test_a_missing_figure_is_an_empty_cell_with_its_reason() -> None:
    text = estimates_csv({"auroc": {"value": None, "ci95": None, "reason": "no case is A"}})
    assert text.splitlines()[1] == "auroc,,,,no case is A"


def test_the_area_under_the_written_roc_curve_is_the_auroc(two) -> None:
    import numpy as np

    found = two.evaluation()
    rows = list(csv.DictReader(io.StringIO(curve_csvs(found.curves)["roc.csv"])))
    x, y = (np.array([float(row[name]) for row in rows]) for name in ("false_positive_rate", "sensitivity"))
    assert np.trapezoid(y, x) == pytest.approx(found.auroc.value, abs=1e-4)


def test_everything_the_report_links_to_is_written(report: Report, card: Card, two, tmp_path: Path) -> None:
    document = evaluation_json(Measurements(report.evaluation), ORIGIN.model, "e")
    write_report_files(tmp_path, report, card, document, ORIGIN)
    (tmp_path / "predictions.csv").touch()  # written by its own module
    html = render_report(report, linked(report))
    links = re.findall(r'href="([^#"][^"]*)"', html)
    assert len(links) == 11
    assert all((tmp_path / link).is_file() for link in links)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == json.loads(json.dumps(document))


def test_curves_of_a_former_evaluation_do_not_stay(report: Report, card: Card, tmp_path: Path) -> None:
    write_report_files(tmp_path, report, card, {}, ORIGIN)
    without = replace(report, evaluation=replace(report.evaluation, curves=None))
    write_report_files(tmp_path, without, card, {}, ORIGIN)
    assert list((tmp_path / "curves").iterdir()) == []
