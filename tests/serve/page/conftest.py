"""A real browser before a real server, with phantoms to read."""

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")


@dataclass(frozen=True)
class Server:
    """Where a service listens, and how to ask it without the page."""

    url: str
    token: str = ""

    def ask(self, path: str, method: str = "GET") -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=20) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def predictions(self) -> list[Any]:
        return list(self.ask("/v1/predictions?limit=500&order=-p_abnormal")["predictions"])

    def clear(self) -> None:
        for prediction in self.predictions():
            self.ask(f"/v1/predictions/{prediction['id']}", "DELETE")


@contextmanager
def run_server(model: Path, folder: Path, *, token: str = "") -> Iterator[Server]:
    command = [sys.executable, "-m", "lungscope", "serve", "--model", str(model), "--port", "0"]
    command += ["--data", str(folder / "data"), "--runtime", "onnxruntime"]
    if token:
        (folder / "tokens").write_text(f"reader:{token}\n")
        command += ["--token-file", str(folder / "tokens")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    said = ""
    try:
        for line in process.stderr:
            said += line
            if found := re.search(r"listens on (http://\S+:\d+)", line):
                break
        else:
            pytest.fail(f"The server did not start: {said}")
        yield Server(found[1], token)
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager[Server]]:
    """Start further servers."""
    return run_server


@pytest.fixture(scope="session")
def running(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(model, tmp_path_factory.mktemp("serve")) as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """A server without results."""
    running.clear()
    return running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium; apt-get install -y chromium")
    with sync_api.sync_playwright() as playwright:
        # A container's /dev/shm is often too small for pictures.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, server: Server) -> Iterator[Callable[..., Any]]:
    """Open the page in a new profile; the test fails when the page itself complains."""
    complaints: list[str] = []
    contexts: list[Any] = []

    def open_page(url: str = "", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(url or server.url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    # What a test provokes is an answer of the server, not an error of the page.
    assert [text for text in complaints if "Failed to load resource" not in text] == []


@pytest.fixture
def page(open_page: Callable[..., Any]) -> Any:
    """The page on a reader's desk, with nothing in it."""
    page = open_page(color_scheme="dark")
    page.locator("#threshold").wait_for()
    return page


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four small phantoms that the untrained network scores differently."""
    from lungscope.data.phantoms.phantom import draw_phantom

    folder = tmp_path_factory.mktemp("phantoms")
    paths = [folder / f"phantom{i}.png" for i in range(4)]
    for seed, path in zip((4, 7, 9, 11), paths, strict=True):
        phantom = draw_phantom(np.random.default_rng(seed), abnormal=seed != 4, size=128)
        Image.fromarray(phantom.pixels).save(path)
    return paths


@pytest.fixture
def read(page: Any, phantoms: list[Path]) -> Any:
    """The page with all phantoms read, the one of the highest probability open."""
    page.set_input_files("#files", phantoms)
    sync_api.expect(page.locator(".row[data-key]:not([data-key^=upload])")).to_have_count(len(phantoms))
    page.locator(".row").first.click()
    drawn(page)
    return page


def drawn(page: Any) -> None:
    """Wait until a radiograph is on the canvas."""
    sync_api.expect(page.locator("#canvas")).to_have_attribute("aria-label", re.compile("^Radiograph"))
