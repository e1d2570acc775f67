"""Fixtures: fresh servers, and all there is to know about them when a test fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.server import ROOT, Server, binary

SHARED = ROOT.parent / "shared"
SERVERS = pytest.StashKey[list[Server]]()

# What the environment of a developer might set must not reach the exporters under test.
for name in [name for name in os.environ if name.startswith("OTEL_") or name.lower().endswith("_proxy")]:
    del os.environ[name]


def pytest_sessionstart(session: pytest.Session) -> None:
    if not binary().exists() and not session.config.option.collectonly:
        pytest.exit(f"{binary()} is missing: run 'cargo build -p spanwise-server' or set SPANWISE_BIN", returncode=2)


@pytest.fixture
def make_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Server]]:
    """Makes servers that are not started yet; all of them end with the test."""
    servers = request.node.stash.setdefault(SERVERS, [])

    def make(name: str = "data", *, data_dir: Path | None = None, config: dict[str, Any] | None = None) -> Server:
        server = Server(data_dir or tmp_path / name, config)
        servers.append(server)
        return server

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def server(make_server: Callable[..., Server]) -> Server:
    """A running server with an empty store."""
    server = make_server()
    server.start()
    return server


@pytest.fixture(scope="session")
def shared_traces() -> Path:
    """Recorded traces of many producers, which lie beside the clone where there are any."""
    traces = SHARED / "data/traces/otlp-json"
    if not traces.is_dir():
        pytest.skip(f"{traces} is absent: recorded traces not checked")
    return traces


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in item.stash.get(SERVERS, []):
            report.sections.append((f"server on {server.data_dir}", server.report()))
    return report
