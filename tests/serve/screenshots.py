"""Draw the pictures of the page in docs/pictures, with phantoms and the bundled model.

Run: PYTHONPATH=tests/serve python tests/serve/screenshots.py. Look at the pictures before they are kept.
"""

import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from page.conftest import CHROMIUM, drawn, run_server
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from lungscope.bundle.default_model import bundled_model
from lungscope.data.phantoms.phantom import AGENTS, Disease, draw_phantom

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
DESK = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
COLOURS = (256, 160, 96, 64)
LARGEST = 200_000


def main() -> None:
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        files = draw_files(folder)
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        with run_server(bundled_model(), folder) as server:
            for theme in ("dark", "light"):
                server.clear()
                options = {"viewport": DESK, "color_scheme": theme, "locale": "en-GB"}
                page = browser.new_page(**options)
                page.goto(server.url)
                page.set_input_files("#files", files)
                expect(page.locator(".row .row-picture img")).to_have_count(len(files) - 1)
                {"dark": show_dark, "light": show_light}[theme](page)
            phone = browser.new_page(viewport=PHONE, color_scheme="dark", is_mobile=True, has_touch=True)
            phone.goto(server.url)
            phone.locator(".row[data-state=positive]").first.tap()
            drawn(phone)
            keep(phone, "page-phone")
        browser.close()


def draw_files(folder: Path) -> list[Path]:
    """Eight phantoms and a letter."""
    kinds = tuple(AGENTS)
    files = [folder / f"phantom {i + 1}.png" for i in range(8)]
    for i, file in enumerate(files):
        rng = np.random.default_rng(40 + i)
        phantom = draw_phantom(rng, abnormal=i % 2 > 0, disease=Disease(kinds[i // 2 % 2], 1.4), size=640)
        Image.fromarray(phantom.pixels).save(file)
    letter = folder / "letter.png"
    letter.write_text("Dear colleague")
    return [*files, letter]


def show_dark(page: Any) -> None:
    page.locator(".row[data-state=positive]").first.click()
    drawn(page)
    keep(page, "page-dark")
    page.locator(".row[data-state=not_assessed]", has_text="letter").click()
    keep(page, "page-not-assessed")


def show_light(page: Any) -> None:
    page.locator(".row[data-state=positive]").nth(2).click()
    drawn(page)
    page.get_by_label("Local prevalence", exact=True).fill("10")
    page.locator("#threshold").fill("0.3")
    page.get_by_role("button", name="Agree", exact=True).click()
    expect(page.locator("#agree")).to_have_attribute("aria-pressed", "true")
    page.locator("#case").evaluate("element => element.scrollTo(0, 0)")
    keep(page, "page-light")


def keep(page: Any, name: str) -> None:
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    path = PICTURES / f"{name}.png"
    for colours in COLOURS:
        path.write_bytes(compress(picture, colours))
        if path.stat().st_size <= LARGEST:
            return
    raise SystemExit(f"{path}: {path.stat().st_size:,} bytes are more than {LARGEST:,}.")


def compress(picture: Image.Image, colours: int) -> bytes:
    buffer = BytesIO()
    picture.quantize(palette=picture.quantize(colours)).save(buffer, "PNG", optimize=True)  # with dithering
    return buffer.getvalue()


if __name__ == "__main__":
    main()
