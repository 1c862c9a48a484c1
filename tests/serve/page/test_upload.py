"""Files come in by choice, drop and paste, wait when the server is busy, and fail in plain words."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

expect = pytest.importorskip("playwright.sync_api").expect

CARRY = """(files) => {
  const transfer = new DataTransfer();
  for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: 'image/png' }));
  }
  return transfer;
}"""


def carry(page: Any, paths: list[Path]) -> Any:
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    return page.evaluate_handle(CARRY, files)


def test_chosen_files_are_read_and_announced(page: Any, phantoms: list[Path], server: Any) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add radiographs").click()
    chooser.value.set_files(phantoms)
    expect(page.locator(".row")).to_have_count(4)
    expect(page.locator("#live")).to_contain_text("4 assessed, 0 not assessed")
    expect(page.locator("#sending")).to_be_hidden()
    assert sorted(found["file"] for found in server.predictions()) == [path.name for path in phantoms]


def test_dropped_files_are_read(page: Any, phantoms: list[Path]) -> None:
    transfer = carry(page, phantoms[:3])
    page.dispatch_event("#canvas", "dragenter", {"dataTransfer": transfer})
    expect(page.locator("#veil")).to_be_visible()
    page.dispatch_event("#canvas", "drop", {"dataTransfer": transfer})
    expect(page.locator("#veil")).to_be_hidden()
    expect(page.locator(".row .row-score:not(:empty)")).to_have_count(3)


def test_pasted_files_are_read(page: Any, phantoms: list[Path]) -> None:
    page.evaluate(
        "(data) => document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))",
        carry(page, phantoms[:1]),
    )
    expect(page.locator(".row-name")).to_have_text(["phantom0.png"])
    expect(page.locator("#probability")).to_contain_text("%")


def test_a_file_that_is_no_image_is_not_assessed_and_says_why(page: Any, phantoms: list[Path], tmp_path: Path) -> None:
    letter = tmp_path / "letter.png"
    letter.write_text("Dear colleague")
    page.set_input_files("#files", [letter, phantoms[0]])
    row = page.locator(".row[data-state=not_assessed]")
    row.click()
    expect(page.locator("#verdict")).to_have_text("Not assessed")
    expect(page.locator("#reason")).to_contain_text("The content is text")
    expect(page.locator("#finding")).to_contain_text("Read it as you would without Lungscope")
    expect(page.locator("#probability")).to_have_count(0)
    expect(page.locator("#agree")).to_have_count(0)
    expect(page.locator(".row[data-key]")).to_have_count(2)  # the other one was read


def test_an_empty_file_fails_in_plain_words_without_a_request(page: Any, tmp_path: Path, server: Any) -> None:
    empty = tmp_path / "empty.dcm"
    empty.touch()
    page.set_input_files("#files", empty)
    page.locator(".row[data-state=failed]").click()
    expect(page.locator("#reason")).to_have_text("The file is empty. Export it again.")
    assert server.predictions() == []


def test_a_busy_server_is_asked_again_after_the_time_it_names(page: Any, phantoms: list[Path]) -> None:
    answers = [429, 429]

    def busy_twice(route: Any) -> None:
        if route.request.method == "POST" and answers:
            problem = {"status": answers.pop(), "title": "The queue is full", "detail": "Try again."}
            return route.fulfill(status=429, headers={"Retry-After": "1"}, body=json.dumps(problem))
        return route.continue_()

    page.route("**/v1/predictions*", busy_twice)
    page.set_input_files("#files", phantoms[0])
    expect(page.locator("#sending-text")).to_have_text("The server is busy; trying again in 1 second")
    expect(page.locator("#probability")).to_contain_text("%")
    assert answers == []


def test_files_that_fail_together_are_sent_again_one_by_one(page: Any, phantoms: list[Path], server: Any) -> None:
    requests = []

    def refuse_first(route: Any) -> None:
        if route.request.method != "POST":
            return route.continue_()
        requests.append(route.request)
        if len(requests) > 1:
            return route.continue_()
        return route.fulfill(status=413, body=json.dumps({"detail": "Too large together."}))

    page.route("**/v1/predictions*", refuse_first)
    page.set_input_files("#files", phantoms[:2])
    expect(page.locator(".row .row-score:not(:empty)")).to_have_count(2)
    assert (len(requests), len(server.predictions())) == (3, 2)


def test_a_failed_file_can_be_tried_again_or_dismissed(page: Any, phantoms: list[Path]) -> None:
    page.route("**/v1/predictions*", lambda route: route.abort())
    page.set_input_files("#files", phantoms[:2])
    expect(page.locator(".row[data-state=failed]")).to_have_count(2)
    page.locator(".row", has_text="phantom0").click()
    expect(page.locator("#reason")).to_have_text("The server cannot be reached. Check that it runs, then try again.")
    page.unroute("**/v1/predictions*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#probability")).to_contain_text("%")
    page.locator(".row", has_text="phantom1").click()
    page.get_by_role("button", name="Dismiss").click()
    expect(page.locator(".row-name")).to_have_text(["phantom0.png"])


def test_more_files_than_one_request_takes_are_all_read(
    page: Any, phantoms: list[Path], tmp_path: Path, server: Any
) -> None:
    copies = [tmp_path / f"copy{i:02}.png" for i in range(19)]
    for i, copy in enumerate(copies):
        copy.write_bytes(phantoms[i % 4].read_bytes())
    page.set_input_files("#files", copies)
    expect(page.locator(".row .row-score:not(:empty)")).to_have_count(19, timeout=20_000)
    assert sorted(found["file"] for found in server.predictions()) == [copy.name for copy in copies]
