"""`lungscope serve` as its own process: killed, stopped, started without a token, checked."""

import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.serve.conftest import RunningServer

SECRET = "correct-horse-battery"
JPEG = {"Content-Type": "image/jpeg"}
Start = Callable[..., RunningServer]


def lungscope(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "lungscope", *arguments], capture_output=True, text=True, timeout=120)


def ask_until_it_dies(url: str, contents: list[bytes], answered: list[str]) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        try:
            while True:
                for content in contents:
                    answer = client.post("/v1/predictions", content=content, headers=JPEG)
                    answered += [one["id"] for one in answer.json()["predictions"]]
        except httpx.TransportError:
            return


def test_every_answered_prediction_survives_kill_9_once(
    start_server: Start, pictures: list[Path], tmp_path: Path
) -> None:
    server = start_server(tmp_path / "data")
    answered: list[str] = []
    contents = [path.read_bytes() for path in pictures[:8]]
    clients = [threading.Thread(target=ask_until_it_dies, args=(server.url, contents, answered)) for _ in range(6)]
    for client in clients:
        client.start()
    while len(answered) < 60:
        time.sleep(0.02)
    server.process.kill()
    for client in clients:
        client.join()

    again = start_server(tmp_path / "data")
    stored: list[str] = []
    cursor = ""
    while cursor is not None:
        page = httpx.get(f"{again.url}/v1/predictions", params={"limit": 500, "cursor": cursor}).json()
        stored += [one["id"] for one in page["predictions"]]
        cursor = page["next"]
    assert set(answered) <= set(stored)
    assert len(stored) == len(set(stored))
    assert len(stored) - len(answered) <= 6  # what was stored and could not be answered any more
    checked = lungscope("serve", "--data", str(tmp_path / "data"), "--verify-log")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(stored)} predictions: intact" in checked.stdout


def test_sigterm_answers_what_was_accepted_and_exits_cleanly(
    start_server: Start, pictures: list[Path], tmp_path: Path
) -> None:
    server = start_server(tmp_path / "data")
    files = [("files", (path.name, path.read_bytes())) for path in pictures]
    results: list[httpx.Response] = []
    asking = threading.Thread(
        target=lambda: results.append(httpx.post(f"{server.url}/v1/predictions", files=files, timeout=60))
    )
    asking.start()
    while "lungscope_queue_images 0.0" in httpx.get(f"{server.url}/metrics").text and asking.is_alive():
        time.sleep(0.005)
    server.process.send_signal(signal.SIGTERM)
    asking.join()
    assert results[0].json()["assessed"] == len(pictures)
    assert server.process.wait(30) == 0
    checked = lungscope("serve", "--data", str(tmp_path / "data"), "--verify-log")
    assert f"{len(pictures)} predictions: intact" in checked.stdout


def test_a_real_server_refuses_too_large_uploads_and_goes_on(start_server: Start, tmp_path: Path) -> None:
    server = start_server(tmp_path / "data", "--megabytes", "1", LUNGSCOPE_TOKEN=SECRET)
    headers = {"Authorization": f"Bearer {SECRET}", **JPEG}
    assert httpx.get(f"{server.url}/v1/model").status_code == 401
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        host = server.url.removeprefix("http://")
        connection.sendall(
            f"POST /v1/predictions HTTP/1.1\r\nHost: {host}\r\n{lines}Content-Length: 9999999\r\n\r\n".encode()
        )
        assert b" 413 " in connection.recv(1000)
    assert httpx.get(f"{server.url}/readyz").json() == {"status": "ready"}


def test_it_does_not_start_elsewhere_without_a_token(model: Path, tmp_path: Path) -> None:
    done = lungscope("serve", "--model", str(model), "--data", str(tmp_path), "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "LUNGSCOPE_TOKEN" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_changed_store_fails_verification(start_server: Start, pictures: list[Path], tmp_path: Path) -> None:
    import sqlite3

    server = start_server(tmp_path / "data")
    httpx.post(f"{server.url}/v1/predictions", content=pictures[0].read_bytes(), headers=JPEG)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    with sqlite3.connect(tmp_path / "data" / "lungscope.db") as connection:
        connection.execute("UPDATE predictions SET finding = 'NORMAL', p_abnormal = 0")
    connection.close()
    done = lungscope("serve", "--data", str(tmp_path / "data"), "--verify-log")
    assert done.returncode == 2
    assert "not as it was answered" in done.stderr


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (["--port", "1", "--host", "127.0.0.1", "--database", "nonsense"], "sqlite:///FILE"),
        (["--tls-certificate", "none.pem"], "Name PEM files"),
        (["--files", "999"], "Enlarge --queue"),
    ],
)
def test_wrong_options_are_one_line_with_the_remedy(
    model: Path, tmp_path: Path, options: list[str], remedy: str
) -> None:
    done = lungscope("serve", "--model", str(model), "--data", str(tmp_path), "--port", "0", *options)
    assert done.returncode == 2
    assert remedy in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_an_error_with_the_remedy(model: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = lungscope("serve", "--model", str(model), "--data", str(tmp_path), "--port", port)
    assert done.returncode == 2
    assert "Choose another --port" in done.stderr
