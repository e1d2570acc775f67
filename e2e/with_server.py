"""Runs a command beside a fresh server, whose address it finds in SPANWISE_URL.

usage: with_server.py COMMAND [ARGUMENT…]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.server import Server

with tempfile.TemporaryDirectory(prefix="spanwise-") as folder:
    server = Server(Path(folder) / "data")
    server.start()
    try:
        environment = {**os.environ, "SPANWISE_URL": server.addresses["ui"]}
        code = subprocess.run(sys.argv[1:], env=environment, check=False).returncode
        if code != 0:
            print(server.report(), file=sys.stderr)
    finally:
        server.kill()
sys.exit(code)
