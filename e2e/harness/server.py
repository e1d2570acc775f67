"""A spanwise process on free ports with a data folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.api import Api

ROOT = Path(__file__).resolve().parent.parent.parent
READY_WITHIN = 30.0


def binary() -> Path:
    """The binary under test."""
    target = os.environ.get("CARGO_TARGET_DIR", Path.home() / ".cache/spanwise/target")
    return Path(os.environ.get("SPANWISE_BIN", Path(target) / "debug/spanwise"))


class StartFailed(AssertionError):
    """The process ended before it was ready."""

    def __init__(self, code: int | None, log: str) -> None:
        super().__init__(f"spanwise ended with {code} before it was ready:\n{log}")
        self.code = code
        self.log = log


class Server:
    """Starts, stops and kills `spanwise serve`; keeps what is needed to explain a failure."""

    def __init__(self, data_dir: Path, config: dict[str, Any] | None = None) -> None:
        self.data_dir = data_dir
        self.config = config or {}
        self.command: list[str | Path] = [binary()]
        self.log_path = data_dir.with_name(data_dir.name + ".log")
        self.config_path = data_dir.with_name(data_dir.name + ".yaml")
        self.addresses: dict[str, str] = {}
        self.process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()

    def start(self, *extra: str) -> float:
        """Starts the process; returns the seconds until it said `ready`.

        The first start takes free ports, later ones the same again, as a restarted server would.
        """
        self.config_path.write_text(json.dumps(self.config))  # JSON is YAML
        started = time.monotonic()
        with self.log_path.open("a") as log:
            self.process = subprocess.Popen(
                [
                    *self.command,
                    "serve",
                    "--config",
                    self.config_path,
                    "--data-dir",
                    self.data_dir,
                    *self._ports(),
                    *extra,
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._lines = queue.Queue()
        threading.Thread(target=self._read, args=(self.process, self._lines), daemon=True).start()
        for line in self._lines_until(started + READY_WITHIN):
            if line == "ready":
                return time.monotonic() - started
            if line.startswith("listening "):
                _, what, address = line.split()
                self.addresses[what] = address
        code = self.process.wait() if self.process.poll() is not None else None
        self.kill()
        raise StartFailed(code, self.log_tail())

    def _ports(self) -> list[str]:
        flags = {"ui": "--listen", "otlp-grpc": "--otlp-grpc", "otlp-http": "--otlp-http"}
        return [
            word
            for what, flag in flags.items()
            for word in (flag, self.addresses.get(what, "http://127.0.0.1:0").removeprefix("http://"))
        ]

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
        assert process.stdout is not None
        with process.stdout as stdout:
            for line in stdout:
                lines.put(line.rstrip("\n"))
        process.wait()
        lines.put(None)

    def _lines_until(self, deadline: float) -> Iterator[str]:
        while True:
            try:
                line = self._lines.get(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                return
            if line is None:
                return
            yield line

    @property
    def api(self) -> Api:
        """The query API."""
        return Api(self.addresses["ui"])

    @property
    def otlp_http(self) -> str:
        """Base URL of the HTTP receiver."""
        return self.addresses["otlp-http"]

    @property
    def otlp_grpc(self) -> str:
        """host:port of the gRPC receiver."""
        return self.addresses["otlp-grpc"].removeprefix("http://")

    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def stop(self, within: float = 20.0) -> int:
        """Asks it to end (SIGTERM); returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def kill(self) -> None:
        """Ends it without asking (SIGKILL)."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            self.process.wait()

    def log_tail(self, lines: int = 60) -> str:
        """The end of what it logged."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def listing(self) -> str:
        """Every file of the data folder with its size."""
        files = [path for path in sorted(self.data_dir.rglob("*")) if path.is_file()]
        shown = [f"{path.stat().st_size:>12}  {path.relative_to(self.data_dir)}" for path in files[:200]]
        return "\n".join([*shown, f"{len(files)} files"])

    def report(self) -> str:
        """What a person needs to know about a failure."""
        state = "running" if self.alive() else f"ended with {self.process.returncode if self.process else None}"
        return "\n".join(
            [
                f"process: {state}",
                f"config: {json.dumps(self.config)}",
                f"addresses: {self.addresses}",
                "log:",
                self.log_tail(),
                "store:",
                self.listing(),
            ]
        )
