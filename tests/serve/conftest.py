import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import psycopg
import pytest
from starlette.testclient import TestClient

from lungscope.bundle.bundle import load_bundle
from lungscope.inference.predictor import Predictor
from lungscope.serve.app import create_app
from lungscope.serve.keys import open_key
from lungscope.serve.service import Service, open_service
from lungscope.serve.settings import Limits, Settings
from lungscope.serve.store.records import Assessment, ImageFacts, Record
from lungscope.serve.store.store import Store, now_us


@pytest.fixture(scope="session")
def predictor(model: Path) -> Predictor:
    return Predictor(load_bundle(model), runtime="onnxruntime")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path / "data", limits=Limits(request_bytes=2_000_000, files=8, queue=32))


@contextmanager
def running(settings: Settings, predictor: Predictor) -> Iterator[tuple[TestClient, Service]]:
    service = open_service(settings, predictor)
    app = create_app(service)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        yield client, service


@pytest.fixture
def client(settings: Settings, predictor: Predictor) -> Iterator[TestClient]:
    with running(settings, predictor) as (client, _):
        yield client


@dataclass(frozen=True)
class RunningServer:
    """`lungscope serve` in a process of its own."""

    process: "subprocess.Popen[str]"
    url: str


@pytest.fixture
def start_server(model: Path) -> Iterator[Callable[..., RunningServer]]:
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path, *options: str, **environment: str) -> RunningServer:
        command = [sys.executable, "-m", "lungscope", "serve", "--model", str(model), "--data", str(folder)]
        process = subprocess.Popen(
            [*command, "--port", "0", *options], stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        started.append(process)
        assert process.stderr
        line = process.stderr.readline()
        assert "listens on " in line, line + process.stderr.read()
        url = line.split("listens on ")[1].split(" ")[0]
        for _ in range(200):
            try:
                httpx.get(f"{url}/healthz")
                return RunningServer(process, url)
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError("the server does not answer")

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stderr
        process.stderr.close()


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real PostgreSQL that listens on a Unix socket in a temporary folder."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    binaries, folder = found[-1].parent, Path("/tmp") / f"lungscope-pg-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    as_user: list[str] = []
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]

    def run(*command: str) -> None:
        done = subprocess.run([*as_user, *command], cwd="/", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    control = [str(binaries / "pg_ctl"), "-D", f"{folder}/data", "-w"]
    run(str(binaries / "initdb"), "-D", f"{folder}/data", "-U", "postgres", "-A", "trust", "-N")
    run(*control, "-o", f"-k {folder} -c listen_addresses= -c fsync=off", "-l", f"{folder}/log", "start")
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        run(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    url: str = request.getfixturevalue("postgresql")
    name = f"test{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?")


@pytest.fixture
def store(database: str, tmp_path: Path) -> Iterator[Store]:
    store = Store(database, open_key(tmp_path / "key"))
    yield store
    store.close()


def record(p_abnormal: float | None = 0.7, **fields: object) -> Record:
    """A record as the pipeline makes it; no p_abnormal means not assessed."""
    assessment = None
    if p_abnormal is not None:
        finding = "PNEUMONIA" if p_abnormal >= 0.5 else "NORMAL"
        both = {"NORMAL": 1 - p_abnormal, "PNEUMONIA": p_abnormal}
        assessment = Assessment(finding, p_abnormal >= 0.5, p_abnormal, both, "half", 0.5)
    made = Record(
        id=uuid.uuid4().hex,
        created_us=now_us(),
        asked_by="local",
        model_sha256="a" * 64,
        engine="onnxruntime fp32",
        image=ImageFacts("b" * 64, 1000, 90, 70, 8, "JPEG"),
        reason="" if assessment else "damaged",
        assessment=assessment,
        notes=("colour to grey",),
        heatmap=np.linspace(0, 2, 20, dtype=np.float16).reshape(4, 5) if assessment else None,
        sketch=np.arange(16, dtype=np.float32) if assessment else None,
    )
    return replace(made, **fields)  # type: ignore[arg-type]
