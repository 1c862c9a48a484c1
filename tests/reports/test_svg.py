"""Inline SVG: accessible, in the page's colours, without anything that would leak or clash."""

import re
from xml.etree import ElementTree

import pytest

from lungscope.reports.svg import ACCENT, VARIABLES, Caption, label, new_axes, render

CAPTION = Caption("example", "A title", "What it shows: a < b & c.")


def drawn(key: str = "example") -> str:
    figure, axes = new_axes(200, 150)
    axes.plot([0, 1], [0, 1], "o-", color=ACCENT, label="line")
    axes.fill_between([0, 1], [0, 0], [1, 1], color=ACCENT, alpha=0.2)
    label(axes, "Width − x", "Height")
    return str(render(figure, Caption(key, CAPTION.title, CAPTION.description)))


def test_a_figure_tells_its_title_and_description_to_a_screen_reader() -> None:
    root = ElementTree.fromstring(drawn())
    assert root.get("role") == "img"
    named = {element.get("id"): element.text for element in root.iter() if element.tag in ("title", "desc")}
    assert [named[key] for key in root.get("aria-labelledby", "").split()] == [CAPTION.title, CAPTION.description]
    assert [element.tag for element in root][:2] == ["title", "desc"]


def test_colours_are_the_pages_variables() -> None:
    svg = drawn()
    assert "var(--accent)" in svg
    assert "var(--muted)" in svg
    assert not any(colour in svg for colour in VARIABLES)


def test_text_stays_text_in_the_pages_font() -> None:
    svg = drawn()
    assert ">Width − x</text>" in svg
    assert "font-family" not in svg


def test_nothing_in_it_tells_the_time_or_reaches_outside() -> None:
    svg = drawn()
    assert "http" not in svg
    assert "metadata" not in svg
    assert "<style" not in svg
    assert drawn() == svg


def test_it_scales_with_the_page() -> None:
    root = ElementTree.fromstring(drawn())
    assert root.get("viewBox") == "0 0 200 150"
    assert root.get("width") is None


def test_ids_are_unique_between_figures_and_every_link_has_its_target() -> None:
    ids = {}
    for key in ("one", "two"):
        root = ElementTree.fromstring(drawn(key))
        ids[key] = {element.get("id") for element in root.iter()} - {None}
        links = set(re.findall(r"#([\w.-]+)", drawn(key)))
        assert links
        assert links <= ids[key]
    assert not ids["one"] & ids["two"]


@pytest.mark.parametrize("setting", ["svg.fonttype", "svg.hashsalt"])
def test_matplotlibs_settings_are_left_as_they_were(setting: str) -> None:
    import matplotlib

    before = matplotlib.rcParams[setting]
    drawn()
    assert matplotlib.rcParams[setting] == before
