"""What is kept and taken along: feedback, CSV, PDF, deletion, and the dialogs that explain."""

import csv
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lungscope.bundle.bundle import load_bundle, replace_card
from lungscope.bundle.provenance import Statement

expect = pytest.importorskip("playwright.sync_api").expect


def test_feedback_is_stored_changed_and_withdrawn(read: Any, server: Any) -> None:
    def stored() -> str | None:
        feedback = server.predictions()[0]["feedback"]
        return feedback and feedback["verdict"]

    read.get_by_role("button", name="Agree", exact=True).click()
    expect(read.locator("#agree")).to_have_attribute("aria-pressed", "true")
    assert stored() == "agree"
    read.keyboard.press("d")
    expect(read.locator("#disagree")).to_have_attribute("aria-pressed", "true")
    expect(read.locator(".row").first).to_contain_text("disagreed")
    expect(read.locator("#live")).to_have_text("Stored: you disagree")
    assert stored() == "disagree"
    read.locator("#disagree").click()
    expect(read.locator("#disagree")).to_have_attribute("aria-pressed", "false")
    assert stored() is None


def test_the_table_is_exported_as_csv_as_it_is_filtered(read: Any, tmp_path: Path, server: Any) -> None:
    def export() -> list[dict[str, str]]:
        with read.expect_download() as download:
            read.get_by_role("button", name="Export CSV").click()
        assert download.value.suggested_filename == "lungscope.csv"
        download.value.save_as(tmp_path / "export.csv")
        with (tmp_path / "export.csv").open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    rows = export()
    assert sorted(row["id"] for row in rows) == sorted(found["id"] for found in server.predictions())
    p_abnormals = [found["p_abnormal"] for found in server.predictions()]
    read.locator("#threshold").fill(f"{(p_abnormals[0] + p_abnormals[1]) / 2:.3f}")
    read.get_by_role("radio", name="Positive").check()
    assert len(export()) == read.locator(".row").count() < len(rows)


def test_a_result_is_exported_as_a_one_page_pdf(read: Any, tmp_path: Path) -> None:
    with read.expect_download() as download:
        read.get_by_role("button", name="Export PDF").click()
    assert re.fullmatch(r"lungscope-[0-9a-f]{8}\.pdf", download.value.suggested_filename)
    download.value.save_as(tmp_path / "report.pdf")
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", content)) == 1


def test_a_result_is_deleted_only_when_asked_twice(read: Any, server: Any) -> None:
    read.get_by_role("button", name="Delete result").click()
    assert len(server.predictions()) == 4
    read.get_by_role("button", name="Delete for good?").click()
    expect(read.locator(".row")).to_have_count(3)
    assert len(server.predictions()) == 3
    expect(read.locator("#worklist")).to_be_focused()


def test_what_the_server_refuses_is_told(read: Any) -> None:
    read.route("**/feedback", lambda route: route.fulfill(status=503, body='{"detail": "The store is full."}'))
    read.get_by_role("button", name="Disagree").click()
    expect(read.get_by_role("dialog")).to_contain_text("The store is full.")


def test_the_model_card_is_one_click_away(read: Any, server: Any) -> None:
    model = server.ask("/v1/model")
    read.get_by_role("button", name="Model card").click()
    dialog = read.get_by_role("dialog", name="Model card")
    expect(dialog).to_contain_text(model["sha256"])
    expect(dialog).to_contain_text("Research use only")
    expect(dialog).to_contain_text("60 images with and 140 without disease")
    expect(dialog.locator("tbody tr")).to_have_count(len(model["operating_points"]))
    expect(dialog.get_by_role("img")).to_have_attribute(
        "aria-label", re.compile(r"at the set threshold 90\.0\s% and 20\.0\s%")
    )
    read.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(read.get_by_role("button", name="Model card")).to_be_focused()


def test_the_model_card_tells_what_was_said_of_the_model(
    serving: Any, open_page: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(model)
    said = Statement(trained_on="noise", licence="Free to take.", attribution="Nobody was asked.")
    (tmp_path / "model.onnx").write_bytes(replace_card(bundle, replace(bundle.card, statement=said)))
    with serving(tmp_path / "model.onnx", tmp_path) as server:
        page = open_page(server.url)
        page.locator("#threshold").wait_for()
        page.get_by_role("button", name="Model card").click()
        dialog = page.get_by_role("dialog", name="Model card")
        for text in ("Trained on", said.trained_on, said.licence, said.attribution):
            expect(dialog).to_contain_text(text)


def test_drift_lists_the_days_of_the_server(read: Any, server: Any) -> None:
    days = server.ask("/v1/drift")["days"]
    read.get_by_role("button", name="Drift").click()
    expect(read.locator("dialog tbody tr")).to_have_count(len(days))
    expect(read.locator("dialog tbody tr").first).to_contain_text(days[0]["day"])
    expect(read.locator("dialog tbody td").first).to_have_text(str(days[0]["images"]))
    expect(read.get_by_role("dialog").get_by_role("img")).to_be_visible()


def drift(**changes: Any) -> dict[str, Any]:
    day = {
        "day": "2026-01-21", "images": 120, "assessed": 118, "not_assessed": 2, "not_assessed_share": 0.0167,
        "positive_share": 0.4, "mean_p_abnormal": 0.41, "shares": [0.1] * 10, "score_shift": 0.12,
        "embedding_shift": 0.1, "embedding_shift_by_chance": 0.09, "disagreements": 1, "agreements": 7,
    }  # fmt: skip
    reference = {"n": 522, "bin_edges": [], "shares": [0.1] * 10, "mean_p_abnormal": 0.5}
    return {"reference": reference, "days": [day | changes]}


JUDGEMENTS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "scores and images look like validation"),
    ({"assessed": 4, "score_shift": 9.0}, "4 assessed radiographs: too few to tell drift from chance"),
    ({"score_shift": 0.3}, "scores differ from validation"),
    ({"embedding_shift": 0.3}, "images differ from validation"),
    ({"assessed": 0, "score_shift": None, "shares": None}, "nothing was assessed"),
)


def answering(document: dict[str, Any]) -> Callable[[Any], None]:
    return lambda route: route.fulfill(json=document)


def test_drift_is_put_in_words(page: Any) -> None:
    for changes, words in JUDGEMENTS:
        page.unroute_all()
        page.route("**/v1/drift*", answering(drift(**changes)))
        page.get_by_role("button", name="Drift").click()
        expect(page.locator("#drift-verdict")).to_contain_text(words)
        page.keyboard.press("Escape")


def test_shortcuts_are_listed_and_can_be_switched_off(read: Any) -> None:
    first = read.locator(".row[aria-selected=true]").get_attribute("data-key")
    read.keyboard.press("?")
    dialog = read.get_by_role("dialog", name="Keyboard shortcuts")
    expect(dialog).to_contain_text("Next radiograph")
    dialog.get_by_label("Single-key shortcuts").uncheck()
    read.keyboard.press("Escape")
    read.keyboard.press("j")
    assert read.locator(".row[aria-selected=true]").get_attribute("data-key") == first
