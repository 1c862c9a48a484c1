"""The table, the JSON and the picture tell the same, and what failed is told."""

import json
from xml.etree import ElementTree

import pytest

from benchmarks.bench import Benchmark, Found
from benchmarks.contender import Contender, Measured, Turn
from benchmarks.sections import Section
from benchmarks.table import figure, markdown, to_json, write_benchmark
from lungscope.cli.bench import print_benchmark
from lungscope.errors import OutputError


@pytest.fixture
def benchmark() -> Benchmark:
    ours = Measured(
        Contender("Lungscope", "ours", ("secret/path",)), tuple(Turn(n, 1.0, 1.0, 0.1) for n in (340, 380, 360)), 512
    )
    peer = Measured(
        Contender("plain PyTorch, 160 px", "peer", ()), tuple(Turn(n, 1.0, 2.0, 0.2) for n in (40, 40, 60)), 900
    )
    limit = Measured(Contender("runtime alone", "limit", ()), (Turn(400, 1.0, None, None),))
    failed = Measured(Contender("Keras, 160 px", "peer", ()), (), 0.0, "no | memory")
    section = Section("bulk", "Many small files", "images/s", ())
    latency = Section("latency", "One image", "ms", ())
    one = Measured(Contender("Lungscope", "ours", ()), (Turn(3, 0.02, None, None, (5.0, 6.0, 9.0)),))
    found = (Found(section, (ours, peer, limit, failed)), Found(latency, (one,)))
    return Benchmark("A processor", 2, {"python": "3.11"}, 600.0, found, ("GPU: none is at hand.",))


def test_the_table_holds_medians_ratios_and_limits(benchmark: Benchmark) -> None:
    text = markdown(benchmark)
    assert "| Lungscope | 360 |" in text
    assert "| plain PyTorch, 160 px | 40 | 8.5× (6–9.5) |" in text
    assert "| runtime alone | 400 | 85% |" in text
    assert "| Lungscope | 6 (p99 9) |" in text
    assert "| Keras, 160 px | failed: no / memory |" in text
    assert "| bulk / plain PyTorch, 160 px | 6× | 8.5× (6–9.5) | yes |" in text
    assert "Not measured. GPU: none is at hand." in text


def test_every_row_of_a_table_has_as_many_cells_as_its_header(benchmark: Benchmark) -> None:
    for block in markdown(benchmark).split("\n\n"):
        widths = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1


def test_json_holds_every_turn_and_no_path(benchmark: Benchmark) -> None:
    text = to_json(benchmark)
    first = json.loads(text)["sections"][0]["contenders"][0]
    assert first["values"] == [340, 380, 360]
    assert [turn["cpu_s"] for turn in first["turns"]] == [1.0] * 3
    assert "secret" not in text


def test_the_picture_names_peers_and_is_the_same_every_time(benchmark: Benchmark, tmp_path: object) -> None:
    from benchmarks.plot import picture

    svg = picture(benchmark)
    assert svg == picture(benchmark)
    text = "".join(ElementTree.fromstring(svg).itertext())
    assert "plain PyTorch, 160 px" in text
    assert "8.5×" in text


def test_files_are_written_or_refused_in_one_line(benchmark: Benchmark, tmp_path) -> None:
    write_benchmark(benchmark, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"bench.json", "bench.md", "bench.svg"}
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Choose a place"):
        write_benchmark(benchmark, tmp_path / "file" / "below")


def test_eighty_columns_of_a_terminal_hold_it(benchmark: Benchmark, capsys: pytest.CaptureFixture[str]) -> None:
    print_benchmark(benchmark)
    printed = capsys.readouterr().out
    assert "bulk: Many small files, images/s" in printed
    assert "8.5×" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_figures_have_three_digits() -> None:
    assert [figure(n) for n in (0.5, 6, 12.34, 99.96, 1234.5)] == ["0.5", "6", "12.3", "100", "1,234"]
