"""Runs Arize Phoenix on loopback and sends it the spans that `spanwise-bench ingest` sends.

usage: phoenix.py --bench PATH --dir FOLDER [--bodies 10]

Phoenix answers before it stores, so that the clock runs until its database holds every span.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "bench/phoenix.lock"
CONNECTIONS = 8
BATCH = 200


def free_port() -> int:
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def stored(database: Path) -> int:
    """How many spans are committed."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return connection.execute("SELECT count(*) FROM spans").fetchone()[0]


def wait_until_up(base: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{base}/healthz", timeout=5):
            return
        time.sleep(0.5)
    sys.exit(f"Phoenix does not start; the end of its log:\n{log.read_text()[-3000:]}")


def measure(bench: Path, base: str, database: Path, folder: Path, bodies: int) -> None:
    wanted = bodies * CONNECTIONS * BATCH
    started = time.monotonic()
    command = [bench, "ingest", "--data-dir", folder / "unused", "--endpoint", base, "--bodies", str(bodies)]
    sending = [*command, "--connections", str(CONNECTIONS), "--batch", str(BATCH), "--seconds", "600"]
    subprocess.run(sending, check=True)
    sent_after = time.monotonic() - started
    held = 0
    while (held := stored(database)) < wanted and time.monotonic() - started < 900:
        time.sleep(0.25)
    took = time.monotonic() - started
    print("\n### Arize Phoenix, the same spans\n")
    print("| measure | value |\n|---|---|")
    print(f"| spans acknowledged (after {sent_after:.1f} s) | {wanted} |")
    print(f"| spans in its database (after {took:.1f} s) | {held} |")
    print(f"| durable spans/s | {held / took:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, required=True)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--bodies", type=int, default=5, help="bodies of 200 spans per connection")
    arguments = parser.parse_args()
    made = subprocess.run([ROOT / "scripts/python-env", LOCK], check=True, text=True, stdout=subprocess.PIPE)
    folder: Path = arguments.dir
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "phoenix.db"
    for old in folder.glob("phoenix.db*"):
        old.unlink()
    http, grpc = free_port(), free_port()
    environment = {
        **os.environ,
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_SQL_DATABASE_URL": f"sqlite:///{database}",
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(http),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
        "PHOENIX_ALLOW_EXTERNAL_RESOURCES": "false",
    }
    log = folder / "phoenix.log"
    with log.open("w") as output:
        phoenix = Path(made.stdout.strip()) / "bin/phoenix"
        process = subprocess.Popen([phoenix, "serve"], env=environment, stdout=output, stderr=output)
    try:
        base = f"http://127.0.0.1:{http}"
        wait_until_up(base, process, log)
        measure(arguments.bench, base, database, folder, arguments.bodies)
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    main()
