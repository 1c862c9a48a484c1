"""The worklist: sorted by p_abnormal, filtered, steered by keys alone."""

from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect


def scores(page: Any) -> list[float]:
    texts = page.locator(".row .row-score:not(:empty)").all_text_contents()
    return [float(text.replace("<", "").replace(">", "").replace("%", "")) for text in texts]


def selected(page: Any) -> str:
    return str(page.locator(".row[aria-selected=true] .row-name").text_content())


def test_the_highest_probability_comes_first_and_what_nobody_assessed_before_it(
    read: Any, tmp_path: Path, server: Any
) -> None:
    (tmp_path / "letter.png").write_text("Dear colleague")
    read.set_input_files("#files", tmp_path / "letter.png")
    expect(read.locator(".row-name").first).to_have_text("letter.png")
    assert scores(read) == sorted(scores(read), reverse=True)
    names = [found["file"] for found in server.predictions()]
    assert read.locator(".row-name").all_text_contents() == names


def test_the_newest_come_first_when_asked_for(read: Any, phantoms: list[Path]) -> None:
    read.set_input_files("#files", phantoms[2])
    expect(read.locator(".row")).to_have_count(5)
    read.get_by_label("Order").select_option("newest")
    expect(read.locator(".row-name").first).to_have_text("phantom2.png")


def test_filters_show_the_positive_the_unassessed_and_the_failed(read: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_text("Dear colleague")
    (tmp_path / "empty.png").touch()
    read.set_input_files("#files", [tmp_path / "letter.png", tmp_path / "empty.png"])
    expect(read.locator(".row")).to_have_count(6)
    positive = read.locator(".row[data-state=positive]").count()
    for name, rows in (("Positive", positive), ("Not assessed", 1), ("Failed", 1), ("All", 6)):
        option = read.get_by_role("radio", name=name)
        option.check()
        expect(read.locator(".row")).to_have_count(rows)
        expect(read.locator("label.tab", has=option)).to_contain_text(str(rows))


def test_text_finds_by_name_and_says_when_nothing_passes(read: Any) -> None:
    read.keyboard.press("/")
    read.keyboard.type("phantom2")
    expect(read.locator(".row-name")).to_have_text(["phantom2.png"])
    expect(read.locator("#live")).to_have_text("1 radiograph shown")
    read.keyboard.type("x")
    expect(read.locator("#list-note")).to_have_text("Nothing passes these filters.")


def test_j_k_and_arrows_step_through_the_list(read: Any) -> None:
    names = read.locator(".row-name").all_text_contents()
    read.keyboard.press("j")
    assert selected(read) == names[1]
    read.keyboard.press("ArrowDown")
    assert selected(read) == names[2]
    read.keyboard.press("k")
    assert selected(read) == names[1]
    read.keyboard.press("Home")
    assert selected(read) == names[0]
    read.keyboard.press("ArrowUp")
    assert selected(read) == names[0]
    read.keyboard.press("End")
    assert selected(read) == names[3]
    expect(read.locator("#view-title")).to_have_text(names[3])
    active = read.locator("#worklist").get_attribute("aria-activedescendant")
    assert read.locator(f"[id='{active}'] .row-name").text_content() == names[3]


def test_enter_opens_the_radiograph_and_l_goes_back(read: Any) -> None:
    read.locator("#worklist").focus()
    read.keyboard.press("Enter")
    expect(read.locator("#canvas")).to_be_focused()
    read.keyboard.press("l")
    expect(read.locator("#worklist")).to_be_focused()


def test_all_controls_are_reached_by_tab(read: Any) -> None:
    read.locator("body").click(position={"x": 640, "y": 10})
    reached = set()
    for _ in range(60):
        read.keyboard.press("Tab")
        reached.add(read.evaluate("document.activeElement.id"))
    wanted = "choose search order worklist canvas invert reset heat threshold prevalence agree disagree pdf remove csv"
    assert set(wanted.split()) <= reached


def test_what_the_server_has_is_there_after_a_reload(read: Any) -> None:
    names = read.locator(".row-name").all_text_contents()
    read.reload()
    expect(read.locator(".row-name")).to_have_text(names)


def test_a_phone_shows_the_list_then_the_case(open_page: Any, phantoms: list[Path]) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.set_input_files("#files", phantoms[:2])
    expect(page.locator(".row")).to_have_count(2)
    expect(page.locator("#canvas")).to_be_hidden()
    page.locator(".row").nth(1).tap()
    expect(page.locator("#canvas")).to_be_visible()
    expect(page.locator("#probability")).to_be_visible()
    expect(page.locator("#caution")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Worklist").tap()
    expect(page.locator("#canvas")).to_be_hidden()
