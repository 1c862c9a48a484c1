"""The viewer: window, zoom, pan, invert and heat map, checked on the canvas's own pixels."""

import base64
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image

expect = pytest.importorskip("playwright.sync_api").expect

READ_CANVAS = "() => document.getElementById('canvas').toDataURL()"


@dataclass(frozen=True)
class Pixels:
    """What the canvas shows, (N, 3) where it is opaque, and the middle of it, (x, y)."""

    colours: np.ndarray
    middle: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.colours.mean())

    @property
    def contrast(self) -> float:
        return float(self.colours.std())

    @property
    def tint(self) -> float:
        return float(np.ptp(self.colours, axis=1).mean())


def shown(page: Any) -> Pixels:
    content = base64.b64decode(page.evaluate(READ_CANVAS).partition(",")[2])
    rgba = np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"), np.float64)
    rows, columns = np.nonzero(rgba[..., 3] == 255)
    return Pixels(rgba[rows, columns, :3], np.array([columns.mean(), rows.mean()]))


@pytest.fixture
def plain(open_page: Any, phantoms: Any) -> Any:
    """One radiograph, its heat map at no opacity, on a small stage."""
    page = open_page(viewport={"width": 1000, "height": 500})
    # The untrained network of the fixture has no heat to show.
    heat = io.BytesIO()
    Image.fromarray(np.full((8, 8, 4), (255, 80, 0, 200), np.uint8)).save(heat, "PNG")
    page.route("**/heatmap.png", lambda route: route.fulfill(body=heat.getvalue(), content_type="image/png"))
    page.locator("#threshold").wait_for()
    page.set_input_files("#files", phantoms[1])
    expect(page.locator("#heat")).to_be_enabled()
    page.locator("#heat").fill("0")
    return page


def drag(page: Any, dx: int, dy: int, button: str = "left") -> None:
    box = page.locator("#canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + dx, y + dy, steps=3)
    page.mouse.up(button=button)


def test_heat_map_opacity_tints_the_radiograph(plain: Any) -> None:
    assert shown(plain).tint == 0
    plain.locator("#heat").fill("30")
    faint = shown(plain).tint
    plain.locator("#heat").fill("90")
    expect(plain.locator("#heat-value")).to_have_text("90 %")
    assert 0 < 2 * faint < shown(plain).tint
    plain.keyboard.press("h")
    assert shown(plain).tint == 0
    plain.keyboard.press("h")
    assert shown(plain).tint > 2 * faint


def test_invert_turns_black_into_white_and_back(plain: Any) -> None:
    before = shown(plain)
    plain.get_by_role("button", name="Invert").click()
    expect(plain.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    assert np.abs(shown(plain).colours + before.colours - 255).max() <= 1
    plain.keyboard.press("i")
    assert np.array_equal(shown(plain).colours, before.colours)


def test_dragging_changes_the_window(plain: Any) -> None:
    before = shown(plain)
    drag(plain, 120, 0)
    wide = shown(plain)
    assert wide.contrast < 0.8 * before.contrast
    expect(plain.locator("#readout")).to_contain_text("W 375")
    drag(plain, 0, -40)
    assert shown(plain).mean > wide.mean + 10
    plain.get_by_role("button", name="Reset").click()
    assert np.array_equal(shown(plain).colours, before.colours)


def test_shift_and_arrows_change_the_window_without_a_mouse(plain: Any) -> None:
    before = shown(plain)
    plain.locator("#canvas").focus()
    plain.keyboard.press("Shift+ArrowUp")
    assert shown(plain).mean > before.mean + 3
    plain.keyboard.press("r")
    for _ in range(4):
        plain.keyboard.press("Shift+ArrowLeft")
    assert shown(plain).contrast > before.contrast


def test_wheel_keys_and_buttons_zoom(plain: Any) -> None:
    def zoom() -> int:
        return int(plain.locator("#readout").text_content().split()[-2])

    fit = zoom()
    plain.locator("#canvas").hover()
    plain.mouse.wheel(0, -250)
    expect(plain.locator("#readout")).not_to_contain_text(f"· {fit} %")
    wheeled = zoom()
    assert wheeled == pytest.approx(fit * np.exp(0.5), abs=2)
    plain.keyboard.press("+")
    assert zoom() == pytest.approx(1.25 * wheeled, abs=2)
    plain.keyboard.press("-")
    plain.get_by_role("button", name="Zoom out").click()
    assert zoom() == pytest.approx(0.8 * wheeled, abs=2)
    plain.keyboard.press("r")
    assert zoom() == fit


def test_the_point_under_the_wheel_stays(plain: Any) -> None:
    box = plain.locator("#canvas").bounding_box()
    at = {"x": box["width"] / 2 + 60, "y": box["height"] / 2 + 40}
    probe = "([x, y]) => [...document.getElementById('canvas').getContext('2d').getImageData(x, y, 1, 1).data]"
    before = plain.evaluate(probe, [at["x"], at["y"]])
    plain.mouse.move(box["x"] + at["x"], box["y"] + at["y"])
    plain.mouse.wheel(0, -400)
    plain.wait_for_timeout(100)
    assert plain.evaluate(probe, [at["x"], at["y"]]) == pytest.approx(before, abs=12)


def test_panning_moves_the_radiograph_and_not_the_window(plain: Any) -> None:
    for _ in range(3):
        plain.keyboard.press("-")
    middles = [shown(plain).middle]
    drag(plain, 40, -40, "right")
    middles.append(shown(plain).middle)
    plain.locator("#canvas").focus()
    plain.keyboard.press("ArrowRight")  # the view moves right, the picture left
    plain.keyboard.press("ArrowUp")
    middles.append(shown(plain).middle)
    plain.get_by_role("button", name="Pan").click()
    drag(plain, 40, -40)
    middles.append(shown(plain).middle)
    assert np.diff(middles, axis=0) == pytest.approx(np.array([[40, -40], [-40, 40], [40, -40]]), abs=1)
    expect(plain.locator("#readout")).to_contain_text("W 255  L 128")


def test_a_new_radiograph_starts_with_a_fresh_view(plain: Any, phantoms: Any) -> None:
    plain.keyboard.press("i")
    plain.set_input_files("#files", phantoms[2])
    expect(plain.locator(".row")).to_have_count(2)
    plain.locator(".row[aria-selected=false]").click()
    expect(plain.locator("#canvas")).to_have_attribute("aria-label", "Radiograph phantom2.png, with a heat map over it")
    expect(plain.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "false")


def test_a_picture_the_server_no_longer_has_is_explained(plain: Any) -> None:
    problem = json.dumps({"status": 410, "detail": "The pixels of this prediction are not kept."})
    plain.route("**/image.png*", lambda route: route.fulfill(status=410, body=problem))
    plain.reload()
    plain.locator(".row").click()
    expect(plain.locator("#stage-note")).to_have_text("The pixels of this prediction are not kept.")
    expect(plain.get_by_role("button", name="Invert")).to_be_disabled()
    expect(plain.locator("#probability")).to_contain_text("%")
