import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from lungscope.system import progress as console
from lungscope.system.progress import Bar, note, show_progress, track


@pytest.fixture(autouse=True)
def shown() -> Iterator[None]:
    with show_progress():
        yield


@pytest.fixture
def clock(monkeypatch):
    """A clock that only moves when told."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def log(monkeypatch) -> io.StringIO:
    text = io.StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=text, width=120, force_terminal=False))
    return text


def test_short_work_says_nothing(clock, log) -> None:
    assert list(track(range(50), "Reading", 50)) == list(range(50))
    assert log.getvalue() == ""


def test_long_work_tells_rate_figures_and_time_left(clock, log) -> None:
    with Bar("Training", 300) as bar:
        clock[0] = 11.0
        bar.advance(110, loss=0.25)
        assert log.getvalue() == "Training: 110 of 300 images, 10 images/s, loss 0.25, 19 s left\n"
        clock[0] = 15.0
        bar.advance(40)
        assert log.getvalue().count("\n") == 1
        clock[0] = 30.0
        bar.advance(150)
    assert log.getvalue().splitlines()[-1] == "Training: 300 of 300 images, 10 images/s"


def test_a_terminal_gets_a_bar(clock, monkeypatch) -> None:
    text = io.StringIO()
    monkeypatch.setattr(console, "stderr", Console(file=text, width=120, force_terminal=True))
    with Bar("Training", 300) as bar:
        clock[0] = 3.0
        bar.advance(150, auroc=0.91)
    assert "Training" in text.getvalue()
    assert "auroc 0.91" in text.getvalue()


def test_the_bar_is_taken_down_when_work_fails(clock, log) -> None:
    def fail() -> None:
        with Bar("Reading", 10) as bar:
            clock[0] = 11.0
            bar.advance(5)
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail()
    assert log.getvalue().count("\n") == 1


def test_nothing_is_shown_unless_asked_for(clock, log) -> None:
    with show_progress(False), Bar("Training", 300) as bar:
        clock[0] = 11.0
        bar.advance(110)
        note("Training on a processor.")
    assert log.getvalue() == ""


def test_a_note_is_one_line_as_it_is(capsys) -> None:
    line = "[bold] is a folder here: " + "long/" * 40
    note(line)
    assert capsys.readouterr().err == line + "\n"
