"""Uploads nobody wishes for: never a fault, never a file outside the data folder, never without bounds."""

import asyncio
import contextlib
import struct
import tempfile
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from lungscope.inference.predictor import Predictor
from lungscope.serve.problems import Problem
from lungscope.serve.settings import Limits, Retention, Settings
from lungscope.serve.upload import Upload, clean_name, read_uploads
from tests.serve.conftest import running

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
LIMITS = Limits(request_bytes=1_000_000, files=4, queue=64)
NAMES = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["../../../../tmp/evil", "/etc/passwd", "C:\\x\\y.dcm", "a\0b", "..", ".", "", "CON", "a" * 5000]),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, predictor: Predictor) -> Iterator[tuple[TestClient, Path]]:
    folder = tmp_path_factory.mktemp("uploads")
    limits = Limits(request_bytes=2_000_000, files=16, queue=64)
    options = Settings(folder / "data", limits=limits, retention=Retention(images=True, names=True))
    with running(options, predictor) as (client, _):
        yield client, folder


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def read(content: bytes, kind: str, *, size: int = 50, disposition: str = "", limits: Limits = LIMITS) -> list[Upload]:
    # In a thread of its own: a browser that another test holds open has a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, read_uploads(pieces(content, size), kind, disposition, limits)).result()


def form(*files: tuple[str, bytes], boundary: str = "XX") -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + content
        + b"\r\n"
        for name, content in files
    ]
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


FORM = "multipart/form-data; boundary=XX"


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_files_come_through_whole_however_the_body_is_cut(size: int) -> None:
    contents = [bytes(range(256)), b"", b"\r\n--X" * 40]
    found = read(form(*[(f"{i}.png", c) for i, c in enumerate(contents)]), FORM, size=size)
    assert [one.content for one in found] == contents
    assert [one.name for one in found] == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('form-data; name="files"; filename="thorax α β.png"', "thorax α β.png"),
        ("form-data; name=files; filename*=UTF-8''thorax%20%CE%B1.png", "thorax α.png"),
        ('form-data; name="files"; filename="C:\\\\scans\\\\a.png"', "a.png"),
        ('form-data; name="files"; filename=".."', ".."),
        ("form-data; name=files; filename*=klingon''%FF%FE", None),
    ],
)
def test_names_come_through_in_any_alphabet(disposition: str, name: str | None) -> None:
    body = f"--XX\r\nContent-Disposition: {disposition}\r\n\r\nx\r\n--XX--\r\n".encode()
    (one,) = read(body, FORM)
    assert one.content == b"x"
    assert one.name == name or (name is None and one.name is not None and one.name.isprintable())


def test_other_fields_of_a_form_are_ignored() -> None:
    field = b'--XX\r\nContent-Disposition: form-data; name="comment"\r\n\r\nhello\r\n'
    assert [one.content for one in read(field + form(("a", b"1")), FORM)] == [b"1"]


@pytest.mark.parametrize(
    ("content", "kind", "expected"),
    [
        (form(*[("a", b"x")] * 5), FORM, "too-many-files"),
        (b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 30 + b"--XX--\r\n", FORM, "too-many-files"),
        (form(("a", b"x" * 1_000_001)), FORM, "too-large"),
        (b"x" * 1_000_001, "image/png", "too-large"),
        (form(("a", b"x"))[:-6], FORM, "malformed-upload"),
        (b"", FORM, "malformed-upload"),
        (b"--XX--\r\n", FORM, "malformed-upload"),
        (b"nothing of the kind", FORM, "malformed-upload"),
        (form(("a" * 30_000, b"x")), FORM, "malformed-upload"),
        (form(("a", b"x")), "multipart/form-data", "unsupported-media-type"),
        (form(("a", b"x")), f"multipart/form-data; boundary={'b' * 5000}", "malformed-upload"),
        (b"{}", "application/json", "unsupported-media-type"),
        (b"x", "", "unsupported-media-type"),
    ],
)  # fmt: skip
def test_uploads_that_are_none_are_problems(content: bytes, kind: str, expected: str) -> None:
    with pytest.raises(Problem) as raised:
        read(content, kind, size=4096)
    assert raised.value.kind.name == expected


@given(st.binary(max_size=300), st.text(max_size=60), st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_any_body_is_files_or_a_problem(content: bytes, kind: str, disposition: str) -> None:
    for one in (FORM, f"multipart/form-data; boundary={kind}", kind, "image/png"):
        part = f"--XX\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        with contextlib.suppress(Problem):
            found = read(part + content, one, disposition=disposition, size=100)
            assert all(isinstance(upload, Upload) for upload in found)


@given(NAMES)
def test_a_name_is_a_printable_base_name_of_bounded_length(name: str) -> None:
    cleaned = clean_name(name)
    if cleaned is not None:
        assert cleaned.isprintable()
        assert 1 <= len(cleaned) <= 200
        assert not set("/\\") & set(cleaned)
        cleaned.encode()


@given(data=st.data())
@QUICK
def test_damaged_images_and_strange_names_are_answered(
    served: tuple[TestClient, Path], pictures: list[Path], data: st.DataObject
) -> None:
    client, _ = served
    content = bytearray(pictures[0].read_bytes())
    for _ in range(data.draw(st.integers(0, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    junk = data.draw(
        st.sampled_from([b"", b"%PDF-1.4", b"PK\3\4", b"\0" * 128 + b"DICM", b"<script>", b"II*\0", b"BM"])
    )
    front = data.draw(st.booleans())
    mixed = junk + content[:cut] if front else content[:cut] + junk
    name = data.draw(NAMES)
    kind = data.draw(st.sampled_from(["image/png", "application/dicom", "text/html", "a/b", ""]))
    answer = client.post("/v1/predictions", files=[("files", (name, bytes(mixed), kind or None))])
    assert answer.status_code in (201, 400), answer.text


def png_bomb(side: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    rows = b"".join(packer.compress(row) for _ in range(min(side, 2000))) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [60_000, 2**31 - 1])
def test_a_bomb_is_refused_by_its_header(served: tuple[TestClient, Path], side: int) -> None:
    client, _ = served
    content = png_bomb(side if side < 100_000 else 100).replace(
        struct.pack(">II", 100, 100), struct.pack(">II", side, side)
    )
    tracemalloc.start()
    (one,) = client.post("/v1/predictions", files=[("files", ("a.png", content))]).json()["predictions"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert one["status"] == "not_assessed"
    assert peak < 50 * 2**20


def test_ten_thousand_files_in_one_request_are_refused_in_bounded_memory(served: tuple[TestClient, Path]) -> None:
    client, _ = served
    body = form(*[(f"{i}.png", b"x") for i in range(10_000)])
    tracemalloc.start()
    answer = client.post("/v1/predictions", content=body, headers={"Content-Type": FORM})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:lungscope:problem:too-many-files")
    assert peak < 20 * 2**20


def test_nothing_is_written_outside_the_data_folder(
    served: tuple[TestClient, Path], pictures: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, folder = served

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "SpooledTemporaryFile", refused)
    for name in ("../../evil.png", "/tmp/evil.png", "..\\evil.png", "a\0.png"):
        answer = client.post("/v1/predictions", files=[("files", (name, pictures[0].read_bytes() * 3))])
        assert answer.status_code == 201
    written = {path.relative_to(folder).parts[0] for path in folder.rglob("*")}
    assert written == {"data"}
    kept = {path.suffix for path in (folder / "data").rglob("*") if path.is_file()}
    assert kept <= {".db", ".db-wal", ".db-shm", ".key", ".png"}
    assert not list(folder.rglob("*evil*"))
