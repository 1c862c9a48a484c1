"""The page of the audit: self-contained, without names, with a picture of every pair."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from lungscope.data.audit.inspection import Inspection, inspect
from lungscope.data.dataset import DataSource
from lungscope.data.phantoms.phantom import draw_phantom
from lungscope.errors import OutputError
from lungscope.reports.audit import render_inspection, verdict, write_inspection
from lungscope.reports.audit_json import inspection_json


def write(folder: Path, *, copies: bool) -> Path:
    rng = np.random.default_rng(7)
    for split in ("train", "test"):
        for label in ("NORMAL", "<PNEUMONIA>"):
            (folder / split / label).mkdir(parents=True)
    for i in range(20):
        place = folder / ("train", "test")[i // 2 % 2] / ("NORMAL", "<PNEUMONIA>")[i % 2]
        image = Image.fromarray(draw_phantom(rng, size=160, abnormal=False).pixels)
        image.save(place / f"{i:08}_000.png")
        if copies and i == 0:
            ImageOps.mirror(image).save(folder / "test" / "NORMAL" / "DOE^JANE.png")
            image.save(folder / "train" / "NORMAL" / "DOE^JOHN.png")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUNGSCOPE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def leaky(cache: None, tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    return inspect(DataSource(write(tmp_path_factory.mktemp("leaky"), copies=True)))


@pytest.fixture(scope="module")
def clean(cache: None, tmp_path_factory: pytest.TempPathFactory) -> Inspection:
    return inspect(DataSource(write(tmp_path_factory.mktemp("clean"), copies=False)))


@pytest.fixture(scope="module")
def html(leaky: Inspection) -> str:
    return render_inspection(leaky)


def test_the_json_has_everything_under_its_own_keys(leaky: Inspection) -> None:
    found = json.loads(json.dumps(inspection_json(leaky), allow_nan=False))
    assert (found["n"], found["leakage"], found["splits"]) == (22, True, ["train", "test"])
    assert sum(sum(row) for row in found["images"].values()) == 22
    assert {each["kind"] for each in found["findings"]} >= {"near-duplicate-across-splits", "duplicate"}
    assert all(isinstance(path, str) for each in found["findings"] for path in each["paths"])
    (copies,) = found["duplicates"]
    assert [Path(path).name for path in copies] == ["00000000_000.png", "DOE^JOHN.png"]
    assert found["near_duplicates"][0]["number"] == 1
    assert set(found["near_duplicates"][0]["splits"]) == {"train", "test"}
    assert {each["target"] for each in found["shortcuts"]} == {"label", "split"}
    assert found["statistics"][0]["width"]["median"] > 0


class Page(HTMLParser):
    """Collects what a test asks about."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "br", "link"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert not {"script", "link", "iframe"} & {tag for tag, _ in page.elements}
    assert not re.search(r'(?:src|href)="(?!data:image/png;base64,|#)', html)


def test_every_link_has_its_section(html: str) -> None:
    page = Page(html)
    anchors = {attributes["href"] for tag, attributes in page.elements if tag == "a"}
    places = {f"#{attributes.get('id')}" for tag, attributes in page.elements if tag == "section"}
    assert anchors == places
    assert "#near-identical-pictures" in anchors


def test_neither_file_names_nor_patients_nor_places_are_in_it(html: str, leaky: Inspection) -> None:
    assert "DOE" not in html
    assert not any(path.stem in html for path in leaky.manifest.paths)
    assert str(leaky.manifest.paths[0].parent) not in html
    assert "Keep this page with the data" in html


def test_every_pair_has_a_picture_with_its_number(html: str) -> None:
    page = Page(html)
    told = [attributes["alt"] or "" for tag, attributes in page.elements if tag == "img"]
    assert len([text for text in told if text.startswith("Pair")]) == 1
    assert any(re.match(r"Pair 1: .*mirrored, agreement \d\.\d\d", text) for text in told)
    assert any(text.startswith("Group 1: 2 files, all NORMAL in train") for text in told)


def test_class_names_are_escaped(html: str) -> None:
    assert "<PNEUMONIA>" not in html
    assert "&lt;PNEUMONIA&gt;" in html


def test_the_verdict_says_whether_there_is_leakage(leaky: Inspection, clean: Inspection) -> None:
    assert verdict(leaky)[0].startswith("There is leakage")
    assert verdict(clean)[0].startswith("No leakage was found")


def test_without_pairs_the_page_says_what_would_have_been_found(clean: Inspection) -> None:
    html = render_inspection(clean)
    assert "No two pictures are nearly the same" in html
    assert 'id="identical-pictures"' not in html
    assert Page(html).open == []


def test_undefined_probes_show_their_reason(clean: Inspection) -> None:
    assert "it is the same in all images" in render_inspection(clean)


def test_both_files_are_written(clean: Inspection, tmp_path: Path) -> None:
    page = write_inspection(clean, tmp_path / "found")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in page.parent.iterdir()) == ["audit.html", "audit.json"]


def test_a_place_that_cannot_be_written_is_refused(clean: Inspection, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written.*Choose a place"):
        write_inspection(clean, tmp_path / "file" / "found")


def test_the_same_data_give_the_same_page(clean: Inspection) -> None:
    assert render_inspection(clean) == render_inspection(clean)
