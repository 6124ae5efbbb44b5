"""Child processes that die with the test process, and the programs that tests run."""

from __future__ import annotations

import os
import random
import shlex
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

#: Starts the command given as arguments, prints its process id, and kills it when
#: standard input ends: the kernel closes that pipe however the test process ends.
SUPERVISOR = r"""
exec 3<&0
"$@" </dev/null 3<&- >>"$SUPERVISOR_LOG" 2>&1 &
pid=$!
echo "$pid"
( cat <&3 >/dev/null; kill -KILL "$pid" ) >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$pid"
code=$?
kill "$watch" 2>/dev/null
exit "$code"
"""

#: Ports below the range from which the kernel takes those of outgoing connections.
PORTS = range(18_000, 32_000)


class Process:
    """A running program. What it prints is appended to `log`."""

    def __init__(self, args: Sequence[str | Path], log: Path, env: Mapping[str, str] = {}) -> None:
        self.log = log
        self._supervisor = subprocess.Popen(
            ["sh", "-c", SUPERVISOR, "sh", *map(str, args)],
            env={**os.environ, **env, "SUPERVISOR_LOG": str(log)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )
        assert self._supervisor.stdout
        self.pid = int(self._supervisor.stdout.readline())

    def is_running(self) -> bool:
        """Returns true if the program has not ended."""
        return self._supervisor.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to the program."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """Kills the program, and waits for its end."""
        assert self._supervisor.stdin and self._supervisor.stdout
        self._supervisor.stdin.close()
        self._supervisor.wait(30)
        self._supervisor.stdout.close()

    def printed(self) -> str:
        """Returns what the program has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def run(args: Sequence[str | Path], env: Mapping[str, str] = {}) -> str:
    """Runs a program to its end, and returns its standard output. It must succeed."""
    done = subprocess.run(
        list(map(str, args)),
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    if done.returncode != 0:
        command = shlex.join(map(str, args))
        raise AssertionError(f"{command}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def replace(path: Path, text: str) -> None:
    """Writes a file in one step, as editors do."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    os.replace(new, path)


def free_port() -> int:
    """Returns a port of the loopback address on which nothing listens."""
    for _ in range(1000):
        port = random.choice(PORTS)
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@cache
def almanac_binary() -> Path:
    """Returns the `almanac` binary, built now from the present sources.

    It is built as the Rust tests build it, so that `make test` builds it once.
    `ALMANAC_BINARY` names another one.
    """
    if path := os.environ.get("ALMANAC_BINARY"):
        return Path(path)
    build = "test --no-run --workspace --test binary --quiet --locked"
    command = [*shlex.split(os.environ.get("CARGO", "cargo")), *build.split()]
    built = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL)
    assert built.returncode == 0, f"{shlex.join(command)}: exit code {built.returncode}"
    return ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "debug" / "almanac"


@cache
def temporal_binary() -> Path:
    """Returns Temporal's CLI, as `make tools` installs it."""
    path = ROOT / ".tools/bin/temporal"
    assert path.exists(), f"no Temporal CLI at {path}; hint: make tools"
    return path


@cache
def chromium_binary() -> Path:
    """Returns Chromium. Without it, the tests fail and name the command that installs it."""
    found = subprocess.run([ROOT / "tools/chromium.sh", "path"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())
