"""Who may use the page, and who can: tokens, contrast, screen readers, motion, no request elsewhere."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from lungscope.inference.result import RESEARCH_USE

expect = pytest.importorskip("playwright.sync_api").expect
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

TOKEN = "a-token-for-these-tests-only"
READ_COLOURS = """(names) => names.map((name) => {
  const probe = document.body.appendChild(document.createElement('i'));
  probe.style.color = `var(--${name})`;
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
})"""


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_colours_have_contrast_in_both_themes(open_page: Any, theme: str) -> None:
    page = open_page(color_scheme=theme)
    text = [(fore, back) for fore in ("text", "soft") for back in ("ground", "panel", "raised", "pressed")]
    text += [("alarm", "alarm-ground"), ("alarm", "panel"), ("on-accent", "accent"), ("on-stage", "stage")]
    shapes = [(fore, back) for fore in ("accent", "edge", "alarm") for back in ("panel", "ground", "raised")]
    for needed, pairs in ((4.5, text), (3.0, shapes)):
        for pair in pairs:
            assert contrast(*page.evaluate(READ_COLOURS, list(pair))) >= needed, pair


def violations(page: Any) -> list[str]:
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found]


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_no_violation(open_page: Any, phantoms: Any, theme: str) -> None:
    page = open_page(color_scheme=theme, reduced_motion="reduce")
    assert violations(page) == []
    page.set_input_files("#files", phantoms)
    expect(page.locator(".row .row-score:not(:empty)")).to_have_count(4)
    expect(page.locator("#heat")).to_be_enabled()
    assert violations(page) == []
    for key in "m?":
        page.keyboard.press(key)
        assert violations(page) == []
        page.keyboard.press("Escape")


def test_research_use_is_always_visible(read: Any) -> None:
    for press in ("", "m", "Escape", "?"):
        if press:
            read.keyboard.press(press)
        visible = read.get_by_text(RESEARCH_USE).all()
        assert any(one.is_visible() for one in visible)
    for width in (390, 768, 1440):
        read.set_viewport_size({"width": width, "height": 700})
        expect(read.locator("#caution")).to_be_in_viewport()


def test_the_theme_follows_the_system_until_one_is_chosen(open_page: Any) -> None:
    page = open_page(color_scheme="light")
    ground = "() => getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    dark = page.evaluate(ground)
    assert luminance(dark) < 0.02 < 0.8 < luminance(light)
    page.get_by_role("button", name="Light theme").click()
    assert page.evaluate(ground) == light
    page.reload()
    assert page.evaluate(ground) == light


def test_reduced_motion_is_respected(open_page: Any) -> None:
    page = open_page(reduced_motion="reduce")
    lasting = "parseFloat(getComputedStyle(element).transitionDuration) > 0"
    moving = f"() => [...document.querySelectorAll('*')].filter((element) => {lasting}).length"
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0


def test_nothing_is_asked_of_another_host(open_page: Any, server: Any, phantoms: Any) -> None:
    page, asked = open_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    page.set_input_files("#files", phantoms[0])
    expect(page.locator("#heat")).to_be_enabled()
    assert len(asked) > 20
    assert {url for url in asked if not url.startswith((server.url, "blob:" + server.url))} == set()


@pytest.fixture(scope="module")
def guarded(serving: Any, model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(model, tmp_path_factory.mktemp("guarded"), token=TOKEN) as server:
        yield server


def test_signing_in_by_the_browser_is_enough(open_page: Any, guarded: Any) -> None:
    page = open_page(guarded.url, http_credentials={"username": "any", "password": TOKEN})
    expect(page.locator("#threshold")).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_token_is_asked_for_checked_and_kept_in_the_tab_only(open_page: Any, guarded: Any, phantoms: Any) -> None:
    page = open_page("about:blank")
    let_in = {"Authorization": f"Bearer {TOKEN}"}  # to the page's own files, as a proxy may do
    pattern = re.compile(re.escape(guarded.url) + r"/(web/.*)?$")
    page.route(pattern, lambda route: route.continue_(headers={**route.request.headers, **let_in}))
    page.goto(guarded.url)
    dialog = page.get_by_role("dialog", name="Access token")
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("textbox")).to_be_focused()
    page.keyboard.type("a-wrong-token-nobody-has")
    page.keyboard.press("Enter")
    expect(dialog.get_by_role("alert")).to_contain_text("This token was refused")
    dialog.get_by_role("textbox").fill(TOKEN)
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog).to_be_hidden()
    page.set_input_files("#files", phantoms[0])
    expect(page.locator("#canvas")).to_have_attribute("aria-label", re.compile("^Radiograph"))
    assert page.evaluate("JSON.stringify(localStorage) + document.cookie").count(TOKEN) == 0
