"""The report: self-contained, accessible, anonymous, the same bytes every time, whole or not there."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lungscope.data.audit.checks import AuditReport, Finding
from lungscope.errors import OutputError
from lungscope.evaluation.cases import check_cases
from lungscope.evaluation.evaluate import ModelReference, evaluate
from lungscope.reports.history import TrainingEpoch
from lungscope.reports.html import LARGEST_PICTURE, render_report, write_report
from lungscope.reports.report import GalleryCase, Origin, Report

VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Elements of a page in their order, with unclosed ones noticed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def cases() -> tuple[GalleryCase, ...]:
    rng = np.random.default_rng(0)
    shapes = ((900, 500), (64, 64))
    return tuple(
        GalleryCase(
            f"person{77 + i}_virus_{i}.jpeg", "PNEUMONIA", "NORMAL", 0.98,
            rng.integers(0, 255, shape, dtype=np.uint8), rng.random((5, 5)).astype(np.float32),
        )
        for i, shape in enumerate(shapes)
    )  # fmt: skip


def findings() -> AuditReport:
    path = Path("/data/train/person303_bacteria_1431.jpeg")
    return AuditReport(
        findings=(
            Finding("leak", "leakage", f"{path} and person303_bacteria_1431 stand in two splits.", (path,)),
            Finding("shortcut", "warning", "File size <alone> tells the classes apart."),
        ),
        n=300, classes=("NORMAL", "PNEUMONIA"), splits=("train", "test"),
        counts=np.array([[1200, 40], [80, 50]]), patients=np.array([[90, 30], [70, 40]]), n_patients=230, unreadable=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(two) -> Report:
    return Report(
        evaluation=two.evaluation(prevalence=0.1),
        origin=Origin(
            model=ModelReference("3f9a6c0b" * 8, "default", "onnxruntime", "fp32"),
            data_fingerprint="9c71aa03" * 8,
            split="test",
            images="test",
            recipe='name = "default"\n[head]\nepochs = 60\n',
            versions={"numpy": "2.0.0", "lungscope": "0.1.0"},
        ),
        audit=findings(),
        history=tuple(TrainingEpoch("head", i, 1 / i, 1 / i, 0.9) for i in range(1, 9)),
        gallery=cases(),
        notes=("Rows without a split joined training.",),
    )


@pytest.fixture(scope="module")
def html(report) -> str:
    return render_report(report)


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def test_the_page_is_well_formed(page) -> None:
    assert page.open == []


def test_the_page_reaches_nothing_outside_itself(html, page) -> None:
    assert not page.all("script")
    assert not page.all("link")
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "action"):
            assert re.match(r"data:image/png|#", attributes.get(name) or "#"), attributes
    assert "@import" not in html
    assert "url(http" not in html
    assert "default-src 'none'" in html


def test_research_use_only_stands_before_everything_else(html) -> None:
    body = html[html.index("<body>") :]
    assert 0 < body.index("Research use only.") < body.index("<h1")
    assert "Not a medical device" in body


def test_every_section_of_the_navigation_is_there(page) -> None:
    targets = {attributes["href"] for attributes in page.all("a")}
    sections = {f"#{attributes['id']}" for attributes in page.all("section")}
    assert targets == sections
    assert len(sections) == 10


def test_every_picture_has_a_text_in_its_place(html, page) -> None:
    assert all(attributes["alt"] for attributes in page.all("img"))
    drawings = page.all("svg")
    assert len(drawings) == 8
    ids = {attributes.get("id") for _, attributes in page.elements}
    for attributes in drawings:
        assert attributes["role"] == "img"
        assert set((attributes["aria-labelledby"] or "").split()) <= ids
    assert html.count("</title>") == 1 + len(drawings)
    assert html.count("</desc>") == len(drawings)


def test_ids_are_unique(page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_table_headers_say_what_they_head(page) -> None:
    assert all(attributes.get("scope") in ("row", "col") for attributes in page.all("th"))


def test_headings_descend_in_steps(page) -> None:
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h\d", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_no_patient_and_no_file_name_is_in_the_page(html, report, two) -> None:
    assert "person" not in html
    assert not any(patient in html for patient in two.patients)
    assert "virus_" not in html
    assert "/data/train" not in html
    assert "person" not in repr(report.gallery)


def test_two_runs_give_the_same_bytes(report, html) -> None:
    assert render_report(report) == html


def test_audit_messages_are_escaped_and_their_files_are_counted(html) -> None:
    assert "File size &lt;alone&gt; tells" in html
    assert "[file] and [file] stand in two splits." in re.sub(r"\s+", " ", html)
    assert "(1 file)" in html


def test_provenance_is_complete(html, report) -> None:
    text = " ".join(html.split())
    assert report.origin.model.sha256 in text
    assert report.origin.data_fingerprint in text
    assert "lungscope 0.1.0, numpy 2.0.0" in text
    assert "onnxruntime, fp32" in text
    assert "epochs = 60" in text


def test_predictive_values_are_shown_at_both_prevalences(html, report) -> None:
    point = report.evaluation.operating_points[0]
    assert "PPV at 10%" in html
    assert f"{100 * point.ppv_expected.value:.1f}%" in html
    assert f"{100 * point.estimates.ppv.value:.1f}%" in html


def test_pictures_are_small_and_in_pairs(page) -> None:
    sizes = []
    for attributes in page.all("img"):
        content = base64.b64decode((attributes["src"] or "").partition(",")[2])
        with Image.open(io.BytesIO(content)) as picture:
            sizes.append((picture.size, picture.mode))
    assert sizes[0] == ((200, LARGEST_PICTURE), "L")
    assert sizes[1] == ((200, LARGEST_PICTURE), "RGB")
    assert sizes[2:] == [((64, 64), "L"), ((64, 64), "RGB")]


def test_a_report_without_the_optional_parts_leaves_their_sections_out(report) -> None:
    bare = Page(render_report(replace(report, audit=None, history=(), gallery=(), notes=())))
    sections = {attributes["id"] for attributes in bare.all("section")}
    assert not sections & {"data", "training", "errors"}
    assert {attributes["href"] for attributes in bare.all("a")} == {f"#{name}" for name in sections}


def test_figures_that_are_undefined_say_why(report) -> None:
    found = evaluate(
        check_cases(np.zeros(12, int), np.tile([0.7, 0.3], (12, 1)), list("abcdefghijkl"), ("NORMAL", "PNEUMONIA")),
        [point.point for point in report.evaluation.operating_points],
    )  # fmt: skip
    html = render_report(replace(report, evaluation=found))
    assert "no case is PNEUMONIA" in html
    assert "There is no ROC curve: every case has the same score." in html


def test_three_classes_with_and_without_a_reference_are_reported(report, three) -> None:
    assert "Telling NORMAL, BACTERIAL and VIRAL apart" in render_report(replace(report, evaluation=three.evaluation()))
    found = evaluate(three.without_reference(), [], resamples=50)
    html = render_report(replace(report, evaluation=found))
    assert "no class is the reference" in html
    assert 'id="points"' not in html


def test_class_names_cannot_inject_markup(report, two) -> None:
    found = replace(two.evaluation(), classes=("NORMAL", "<img src=x onerror=alert(1)> $a$"))
    html = render_report(replace(report, evaluation=found))
    assert "<img src=x" not in html
    assert html.count("alert(1)&gt; $a$") > 5


def test_a_report_is_written_whole(report, html, tmp_path) -> None:
    write_report(tmp_path / "out" / "report.html", report)
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8") == html
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]


def test_a_place_that_cannot_be_written_is_told_with_a_remedy(report, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Choose a place"):
        write_report(tmp_path / "file" / "report.html", report)
