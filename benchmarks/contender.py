"""Contenders: programs that do the same work in turns, each in a process of its own, so that load hits all alike."""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Literal

from lungscope.errors import LungscopeError

PAUSE_S = 0.3
"""Between turns; how busy others keep the machine is measured meanwhile."""
PATIENCE_S = 900.0
"""A turn or a start that takes longer has hung."""


@dataclass(frozen=True)
class Contender:
    """A program that prints a line when it is ready and does one turn for every line it is sent.

    A turn's answer is a line of JSON: `images` and `seconds`, or `ms`, the times of single images.
    """

    name: str
    role: Literal["ours", "peer", "limit"]
    command: tuple[str, ...]
    once: bool = False
    """The program takes no lines; a turn is a whole run of it."""


@dataclass(frozen=True)
class Turn:
    """What one turn did."""

    images: float
    seconds: float
    cpu_s: float | None
    """Processor time of all its threads; None where the system does not tell."""
    busy_before: float | None
    """Share of the processors that others used just before, 0..1."""
    ms: tuple[float, ...] = ()
    """Times of single images, where these were asked for."""


@dataclass(frozen=True)
class Measured:
    """All turns of a contender."""

    contender: Contender
    turns: tuple[Turn, ...]
    peak_memory_mb: float = 0.0
    """Largest resident set of its process."""
    error: str = ""
    """Why it took no turn, or no more."""


def alternate(contenders: Sequence[Contender], turns: int) -> tuple[Measured, ...]:
    """Let contenders take turns: every one its first, then every one its second, and so on.

    A peer or a limit that fails is a result with an error.

    Raises:
        LungscopeError: one of our own programs failed.
    """
    with tempfile.TemporaryDirectory(prefix="lungscope-bench-") as folder:
        programs = [_Program(each, Path(folder) / str(i)) for i, each in enumerate(contenders)]
        try:
            for program in programs:
                program.wait_until_ready()
            for _ in range(turns):
                for program in programs:
                    program.take_turn()
        finally:
            found = tuple(program.end() for program in programs)
    for one in found:
        if one.error and one.contender.role == "ours":
            raise LungscopeError(f"{one.contender.name} cannot be measured: {one.error}")
    return found


class _Program:
    """One contender's process."""

    def __init__(self, contender: Contender, errors: Path) -> None:
        self._contender, self._errors = contender, errors
        self._turns: list[Turn] = []
        self._said = b""
        self._peak_mb, self._error = 0.0, ""
        self._process = None if contender.once else self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self._errors.open("w") as errors:
            return subprocess.Popen(
                self._contender.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, bufsize=0
            )

    def wait_until_ready(self) -> None:
        if self._process is not None:
            self._read()

    def take_turn(self) -> None:
        if self._error:
            return
        busy = _busy(PAUSE_S)
        turn = self._run_once() if self._contender.once else self._next()
        if turn is not None:
            self._turns.append(replace(turn, busy_before=busy))

    def _next(self) -> Turn | None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        before = _cpu_seconds(process.pid)
        process.stdin.write(b"\n")
        answer = self._read()
        after = _cpu_seconds(process.pid)
        self._peak_mb = max(self._peak_mb, _peak_mb(process.pid))
        if not answer:
            return None
        said = json.loads(answer)
        times = tuple(said.get("ms", ()))
        cpu = None if before is None or after is None else after - before
        return Turn(said.get("images", len(times)), said.get("seconds", sum(times) / 1000), cpu, None, times)

    def _read(self) -> str:
        """Its next line that is JSON; libraries may print others."""
        assert self._process is not None
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while not self._error:
            line, ended, rest = self._said.partition(b"\n")
            if ended:
                self._said = rest
                if line.startswith(b"{"):
                    return line.decode()
                continue
            ready, _, _ = select.select([pipe], [], [], PATIENCE_S)
            more = os.read(pipe, 65536) if ready else b""
            self._said += more
            if not more:
                self._error = _last_line(self._errors) if ready else f"no answer in {PATIENCE_S:.0f} s"
        return ""

    def _run_once(self) -> Turn | None:
        started = time.perf_counter()
        process = self._start()
        output = _drain(process.stdout)
        status, usage = _wait(process)
        seconds = time.perf_counter() - started
        self._peak_mb = max(self._peak_mb, usage.peak_mb)
        if status not in (0, 3):
            self._error = _last_line(self._errors) or output.strip()[-200:] or f"exit status {status}"
            return None
        return Turn(1, seconds, usage.cpu_s, None)

    def end(self) -> Measured:
        if self._process is not None:
            assert self._process.stdin is not None
            if self._error:
                os.kill(self._process.pid, signal.SIGKILL)  # Popen.kill would take its exit status
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
            _drain(self._process.stdout)
            usage = _wait(self._process)[1]
            self._peak_mb = self._peak_mb or usage.peak_mb
        return Measured(self._contender, tuple(self._turns), self._peak_mb, self._error)


@dataclass(frozen=True)
class _Usage:
    cpu_s: float
    peak_mb: float


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, _Usage]:
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None and not pipe.closed:
            pipe.close()
    return process.returncode, _Usage(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def _drain(pipe: IO[bytes] | None) -> str:
    return pipe.read().decode(errors="replace") if pipe is not None else ""


def _last_line(errors: Path) -> str:
    lines = errors.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip()[:200] if lines else "it ended without a message"


def _cpu_seconds(pid: int) -> float | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> float:
    """Largest resident set since the program began; `wait4` also counts what its parent had when it forked."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    found = [line.split()[1] for line in lines if line.startswith("VmHWM")]
    return int(found[0]) / 1000 if found else 0.0


def _busy(pause_s: float) -> float | None:
    """Share of all processors that was in use during a pause of ours."""
    before = _ticks()
    time.sleep(pause_s)
    after = _ticks()
    if before is None or after is None or after[1] == before[1]:
        return None
    return 1 - (after[0] - before[0]) / (after[1] - before[1])


def _ticks() -> tuple[int, int] | None:
    """(idle, all) ticks of the machine."""
    try:
        fields = Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    except OSError:
        return None
    ticks = [int(field) for field in fields]
    return ticks[3] + ticks[4], sum(ticks)
