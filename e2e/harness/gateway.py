"""A `spanwise gateway` process on a free port."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.server import binary


@dataclass
class Gateway:
    """A running gateway."""

    url: str
    process: subprocess.Popen[str]
    config: Path
    addresses: dict[str, str]

    def stop(self) -> int:
        """Asks it to end, and waits until it has."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=15)


@contextmanager
def running_gateway(folder: Path, config: dict[str, Any]) -> Iterator[Gateway]:
    """Starts a gateway, whose only listener is for models unless the configuration says otherwise."""
    path = folder / "gateway.yaml"
    config = {"listeners": [{"name": "models", "port": 0}], **config}
    path.write_text(json.dumps(config))  # JSON is YAML
    log = (folder / "gateway.log").open("w")
    process = subprocess.Popen([binary(), "gateway", "--config", path], stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    try:
        addresses: dict[str, str] = {}
        while (line := process.stdout.readline()) != "ready\n":
            assert line, (folder / "gateway.log").read_text()
            _, name, address = line.split()
            addresses[name] = address
        yield Gateway(addresses["models"], process, path, addresses)
    finally:
        process.kill()
        process.wait()
        log.close()
