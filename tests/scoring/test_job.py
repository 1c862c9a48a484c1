"""Every file has one row, whatever stops the work and however it is divided."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import fsspec
import pyarrow.parquet
import pytest

from lungscope.bundle.bundle import load_bundle
from lungscope.errors import BundleError, ConfigError, ManifestError, OutputError
from lungscope.inference.predictor import Predictor
from lungscope.scoring import engine_local as local
from lungscope.scoring.job import Settings, run_score
from lungscope.scoring.listing import Shard

SMALL = Settings(rows_per_part=16)
TIMES = ("fetch_ms", "decode_ms", "infer_ms")


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


def untimed(rows: list[dict]) -> list[dict]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def test_rows_say_what_predict_says(folder, tiny, tmp_path, rows) -> None:
    summary = run_score(str(folder), tiny, tmp_path / "out", SMALL)
    predictor = Predictor(load_bundle(tiny))
    paths = [folder / name for name in names(folder)]
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found] == names(folder)
    for row, result in zip(found, predictor.assess_files(paths), strict=True):
        assert (row["p_NORMAL"], row["p_PNEUMONIA"]) == pytest.approx(result.probabilities, abs=1e-6)
        assert (row["finding"], row["error"]) == (result.decision.finding, None)
        assert row["decode_ms"] > 0
        assert row["infer_ms"] > 0
    assert summary.images == 60
    assert sum(summary.findings.values()) == 60


def test_parts_are_whole_and_say_what_made_them(folder, tiny, tmp_path) -> None:
    run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, operating_point="strict"))
    parts = sorted((tmp_path / "out" / "parts").glob("*.parquet"))
    tables = [pyarrow.parquet.read_table(path) for path in parts]
    assert [len(table) for table in tables] == [16, 16, 16, 12]
    made_by = json.loads(tables[0].schema.metadata[b"lungscope.score"])
    assert made_by["model_sha256"] == load_bundle(tiny).sha256
    assert (made_by["format"], made_by["operating_point"], made_by["threshold"]) == (1, "strict", 0.999)
    assert made_by["source"] == str(folder)
    assert set(tables[0]["finding"].to_pylist()) == {"NORMAL"}


def test_the_summary_is_written(folder, tiny, tmp_path) -> None:
    (folder / "bad.png").write_bytes(b"")
    run_score(str(folder), tiny, tmp_path / "out", SMALL)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["images"], summary["failed"], summary["parts"], summary["shard"]) == (61, 1, 4, "1/1")
    assert summary["errors"] == {"the file is empty": 1}
    assert summary["images_per_second"] > 0


def test_an_object_store_gives_the_same_rows(folder, tiny, tmp_path, rows) -> None:
    system = fsspec.filesystem("memory")
    system.put(str(folder), "/score-test", recursive=True)
    try:
        run_score("memory://score-test", tiny, tmp_path / "remote", SMALL)
    finally:
        system.rm("/score-test", recursive=True)
    run_score(str(folder), tiny, tmp_path / "local", SMALL)
    remote = rows(tmp_path / "remote")
    assert untimed(remote) == untimed(rows(tmp_path / "local"))
    assert all(row["fetch_ms"] > 0 for row in remote)


def test_a_list_is_scored_in_its_order_and_each_name_once(folder, tiny, tmp_path, rows) -> None:
    listed = [*reversed(names(folder)), *names(folder)[:5]]
    (folder / "list.txt").write_text("\n".join(listed))
    run_score(str(folder / "list.txt"), tiny, tmp_path / "out", SMALL)
    assert [row["path"] for row in rows(tmp_path / "out")] == listed[:60]


def test_shards_share_a_folder_and_make_the_whole(folder, tiny, tmp_path, rows) -> None:
    for i in (1, 2, 3):
        run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, shard=Shard(i, 3)))
    assert sorted(row["path"] for row in rows(tmp_path / "out")) == names(folder)
    counts = [json.loads((tmp_path / "out" / f"summary-000{i}-of-0003.json").read_text())["images"] for i in (1, 2, 3)]
    assert sum(counts) == 60
    assert min(counts) > 5
    # All of it is done, so the whole finds nothing left to do.
    assert run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, resume=True)).scored_now == 0


def test_work_goes_on_where_it_stopped(folder, tiny, tmp_path, rows, monkeypatch) -> None:
    whole = tmp_path / "whole"
    run_score(str(folder), tiny, whole, SMALL)
    stop_after(monkeypatch, 33)
    with pytest.raises(KeyboardInterrupt):
        run_score(str(folder), tiny, tmp_path / "out", SMALL)
    monkeypatch.undo()
    before = len(rows(tmp_path / "out"))
    assert 33 <= before < 60
    summary = run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, resume=True))
    assert (summary.scored_now, summary.images) == (60 - before, 60)
    assert untimed(rows(tmp_path / "out")) == untimed(rows(whole))


def test_files_that_came_or_went_meanwhile_do_not_confuse_it(folder, tiny, tmp_path, rows, monkeypatch) -> None:
    stop_after(monkeypatch, 20)
    with pytest.raises(KeyboardInterrupt):
        run_score(str(folder), tiny, tmp_path / "out", SMALL)
    monkeypatch.undo()
    done = {row["path"] for row in rows(tmp_path / "out")}
    left = sorted(set(names(folder)) - done)
    (folder / left[0]).unlink()
    (folder / min(done)).unlink()
    (folder / "ward0" / "000-a.png").write_bytes((folder / left[1]).read_bytes())
    run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, resume=True))
    found = [row["path"] for row in rows(tmp_path / "out")]
    assert len(found) == len(set(found))
    assert set(found) == done | (set(left) - {left[0]}) | {"ward0/000-a.png"}


def stop_after(monkeypatch, n: int) -> None:
    score = local.LocalEngine.score

    def stopped(engine, items):
        count = 0
        for rows in score(engine, items):
            yield rows
            count += len(rows)
            if count >= n:
                raise KeyboardInterrupt

    monkeypatch.setattr(local.LocalEngine, "score", stopped)


def test_resuming_with_nothing_there_starts(folder, tiny, tmp_path) -> None:
    assert run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, resume=True)).images == 60


def test_a_finished_folder_is_not_written_to_again_unasked(folder, tiny, tmp_path) -> None:
    run_score(str(folder), tiny, tmp_path / "out", SMALL)
    with pytest.raises(OutputError, match="holds scores already. Pass --resume"):
        run_score(str(folder), tiny, tmp_path / "out", SMALL)


def test_a_folder_with_something_else_is_left_alone(folder, tiny, tmp_path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty. Choose another --out"):
        run_score(str(folder), tiny, tmp_path / "out", SMALL)


def test_another_model_source_or_operating_point_is_refused(folder, tiny, tmp_path) -> None:
    from lungscope.bundle.bundle import bundle_bytes

    run_score(str(folder), tiny, tmp_path / "out", SMALL)
    bundle = load_bundle(tiny)
    other = tmp_path / "other.onnx"
    other.write_bytes(bundle_bytes(bundle.graph, replace(bundle.card, recipe_name="other")))
    resumed = replace(SMALL, resume=True)
    with pytest.raises(OutputError, match="of another model .* Name the same, or choose another --out"):
        run_score(str(folder), other, tmp_path / "out", resumed)
    with pytest.raises(OutputError, match="of another source"):
        run_score(str(folder / "ward0"), tiny, tmp_path / "out", resumed)
    with pytest.raises(OutputError, match="of another operating point"):
        run_score(str(folder), tiny, tmp_path / "out", replace(resumed, operating_point="strict"))


def test_parts_of_another_model_are_refused_whatever_the_plan_says(folder, tiny, tmp_path) -> None:
    run_score(str(folder), tiny, tmp_path / "out", SMALL)
    part = tmp_path / "out" / "parts" / "part-000001.parquet"
    table = pyarrow.parquet.read_table(part)
    made_by = json.loads(table.schema.metadata[b"lungscope.score"]) | {"model_sha256": "0" * 64}
    pyarrow.parquet.write_table(table.replace_schema_metadata({b"lungscope.score": json.dumps(made_by).encode()}), part)
    with pytest.raises(OutputError, match=r"part-000001.parquet: these scores are of another model \(000"):
        run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, resume=True))


@pytest.mark.parametrize("content", [b"", b"PAR1 cut short"])
def test_a_part_that_was_damaged_is_told(folder, tiny, tmp_path, content) -> None:
    run_score(str(folder), tiny, tmp_path / "out", SMALL)
    (tmp_path / "out" / "parts" / "part-000001.parquet").write_bytes(content)
    with pytest.raises(OutputError, match="part-000001.parquet: .* Move it away and pass --resume"):
        run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, resume=True))
    (tmp_path / "out" / "parts" / "part-000001.parquet").unlink()
    summary = run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, resume=True))
    assert (summary.images, summary.scored_now) == (60, 16)


def test_two_processes_cannot_write_one_shard(folder, tiny, tmp_path, monkeypatch) -> None:
    def meanwhile(engine, items):
        with pytest.raises(OutputError, match="another process is writing this shard"):
            run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, resume=True))
        monkeypatch.undo()
        return engine.score(items)

    monkeypatch.setattr(local.LocalEngine, "score", meanwhile)
    assert run_score(str(folder), tiny, tmp_path / "out", SMALL).images == 60


def test_what_cannot_work_is_told_before_any_work(folder, tiny, tmp_path) -> None:
    with pytest.raises(BundleError, match="no operating point 'lenient'. It has: half, strict"):
        run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, operating_point="lenient"))
    with pytest.raises(ManifestError, match="Check the path"):
        run_score(str(tmp_path / "gone"), tiny, tmp_path / "out", SMALL)
    with pytest.raises(ConfigError, match="--part-rows"):
        run_score(str(folder), tiny, tmp_path / "out", replace(SMALL, rows_per_part=0))
    assert not (tmp_path / "out").exists()


def test_a_source_without_images_is_told(tiny, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="no image there. Name a place with"):
        run_score(str(tmp_path / "empty"), tiny, tmp_path / "out", SMALL)


def test_a_killed_process_loses_and_doubles_nothing(folder, tiny, tmp_path, rows) -> None:
    command = [
        sys.executable, "-m", "lungscope", "score", str(folder), "--model", str(tiny),
        "--out", str(tmp_path / "out"), "--part-rows", "8", "--resume",
    ]  # fmt: skip
    for i in range(1000):  # enough to be stopped half-way
        os.link(folder / "ward0" / "000.png", folder / "ward1" / f"copy{i:04}.png")
    process = subprocess.Popen(command)
    parts = tmp_path / "out" / "parts"
    while process.poll() is None and len(list(parts.glob("*.parquet"))) < 12:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (parts / ".part-000500.parquet.part").write_bytes(b"half")
    before = len(rows(tmp_path / "out"))
    assert 96 <= before < 1060
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert sorted(row["path"] for row in rows(tmp_path / "out")) == names(folder)
    assert not list(parts.glob(".*.part"))
