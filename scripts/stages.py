"""The test suite, stage by stage.

    stages.py [STAGE…]      all stages by default; see STAGES at the end

Every stage runs even when an earlier one failed, so that one run shows everything that is
wrong. The last line is `N passed, N failed`; a check (a formatter, a linter) counts as one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
E2E = ROOT / "e2e"
TARGET = Path(os.environ["CARGO_TARGET_DIR"])

# How the closing lines of the test runners spell their counts.
COUNTS = {
    "cargo": re.compile(r"^test result: \w+\. (?P<passed>\d+) passed; (?P<failed>\d+) failed"),
    "vitest": re.compile(r"^\s*Tests\s+(?=.*\d)(?P<rest>.*)$"),
    "pytest": re.compile(r"^(?:=+ )?(?P<rest>.*\b(?:passed|failed|errors?)\b.*) in [\d.]+s\b.*$"),
}
CARGO_DENY = "0.20.2"
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Tally:
    """What passed and failed so far."""

    passed: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list[str])


def python() -> Path:
    """The interpreter of the environment with the locked test packages."""
    venv = subprocess.run([ROOT / "scripts/python-env"], check=True, text=True, capture_output=True)
    return Path(venv.stdout.strip()) / "bin/python"


def run(tally: Tally, title: str, command: list[str | Path], *, cwd: Path = ROOT, counts: str | None = None) -> bool:
    """Runs a command, shows its output as it comes, and counts what it says it did."""
    print(f"\n== {title}: {' '.join(str(word) for word in command)}", flush=True)
    started = time.monotonic()
    process = subprocess.Popen(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    passed = failed = 0
    for line in process.stdout:
        print(line, end="", flush=True)
        if counts and (found := COUNTS[counts].match(ANSI.sub("", line))):
            more_passed, more_failed = read_counts(found)
            passed, failed = passed + more_passed, failed + more_failed
    ok = process.wait() == 0
    if counts is None:
        passed = int(ok)
    if not ok and failed == 0:
        failed = 1
    tally.passed += passed
    tally.failed += failed
    if failed:
        tally.failures.append(title)
    print(f"-- {title}: {passed} passed, {failed} failed, {time.monotonic() - started:.0f} s", flush=True)
    return ok


def read_counts(found: re.Match[str]) -> tuple[int, int]:
    groups = found.groupdict()
    if "rest" not in groups:
        return int(groups["passed"]), int(groups["failed"])
    numbers = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|error)", groups["rest"])}
    return numbers.get("passed", 0), numbers.get("failed", 0) + numbers.get("error", 0)


def check(tally: Tally) -> None:
    """Formatting, lints, types and licences."""
    run(tally, "rustfmt", ["cargo", "fmt", "--all", "--check"])
    run(tally, "clippy", ["cargo", "clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
    if cargo_deny := installed_cargo_deny(tally):
        run(tally, "cargo-deny", [cargo_deny, "check", "bans", "licenses", "sources"])
    if run(tally, "UI packages", [ROOT / "scripts/npm-ci", "web"]):
        run(tally, "UI types and lints", ["npm", "--prefix", "web", "run", "--silent", "check"])
    files: list[str | Path] = [E2E, ROOT / "bench", ROOT / "examples", ROOT / "python", ROOT / "scripts"]
    config = ["--config", E2E / "pyproject.toml"]
    run(tally, "ruff format", [python(), "-m", "ruff", "format", "--check", *config, *files])
    run(tally, "ruff", [python(), "-m", "ruff", "check", "--quiet", *config, *files])
    for project in (E2E, ROOT / "pyproject.toml"):
        run(tally, "pyright", [python(), "-m", "pyright", "--pythonpath", python(), "-p", project])


def installed_cargo_deny(tally: Tally) -> str | Path | None:
    """The tool that compares licences; built once, into the caches, where it is missing."""
    if known := shutil.which("cargo-deny"):
        return known
    tools = Path(os.environ["SPANWISE_CACHE"]) / "tools"
    if not (tools / "bin/cargo-deny").exists():
        # Without optimisation it is built in half the time, and is fast enough.
        install = ["cargo", "install", "--quiet", "--debug", "--locked", "--version", CARGO_DENY, "cargo-deny"]
        if not run(tally, "cargo-deny, built once", [*install, "--root", tools]):
            return None
    return tools / "bin/cargo-deny"


def rust(tally: Tally) -> None:
    """Unit, property and integration tests of the crates."""
    run(tally, "Rust tests", ["cargo", "test", "--workspace", "--quiet"], counts="cargo")


def python_package(tally: Tally) -> None:
    """The Python package, built in debug mode: its stubs and its tests."""
    folder = python_folder(tally)
    if folder is None:
        return
    os.environ["PYTHONPATH"] = folder
    run(tally, "Python tests", [python(), "-m", "pytest", "-c", ROOT / "pyproject.toml"], counts="pytest")
    del os.environ["PYTHONPATH"]


def python_folder(tally: Tally) -> str | None:
    """Builds the Python package; the folder that it is imported from."""
    built = subprocess.run([ROOT / "scripts/build-python"], text=True, stdout=subprocess.PIPE, check=False)
    if built.returncode != 0:
        tally.failed += 1
        tally.failures.append("build of the Python package")
        return None
    return built.stdout.strip()


def ui(tally: Tally) -> None:
    """Tests of the UI's model, without a browser."""
    run(tally, "UI packages", [ROOT / "scripts/npm-ci", "web"])
    run(tally, "UI tests", ["npm", "--prefix", "web", "run", "--silent", "test"], counts="vitest")


def browser(tally: Tally) -> None:
    """The pages of a real server in headless Chromium."""
    if not build(tally):
        return
    chromium = subprocess.run([ROOT / "scripts/install-chromium"], text=True, stdout=subprocess.PIPE, check=False)
    if chromium.returncode != 0:
        tally.failed += 1
        tally.failures.append("Chromium")
        return
    os.environ["CHROMIUM"] = chromium.stdout.strip()
    beside_a_server: list[str | Path] = [python(), E2E / "with_server.py"]
    run(tally, "browser tests", [*beside_a_server, "npm", "--prefix", "web", "run", "--silent", "e2e"], counts="vitest")


def e2e(tally: Tally) -> None:
    """The real binary with real clients, bad input, broken disks and kill -9."""
    if build(tally):
        command: list[str | Path] = [python(), "-m", "pytest", "--ignore", "frameworks"]
        run(tally, "end-to-end tests", command, cwd=E2E, counts="pytest")


def frameworks(tally: Tally) -> None:
    """Agent frameworks and the examples, in environments of their own, traced by the Python package."""
    if (package := python_folder(tally)) and build(tally):
        os.environ["SPANWISE_PACKAGE"] = package
        run(tally, "framework tests", [python(), "-m", "pytest", "frameworks"], cwd=E2E, counts="pytest")


def build(tally: Tally) -> bool:
    """The UI and the debug binary. Builds the tests too, for they share every dependency."""
    if not run(tally, "build of the UI", [ROOT / "scripts/build-ui"]):
        return False
    # With --tests, so that the dependencies have the features that `cargo test` gave them.
    os.environ.setdefault("SPANWISE_BIN", str(TARGET / "debug/spanwise"))
    return run(tally, "build", ["cargo", "build", "--workspace", "--bins", "--tests", "--quiet"])


STAGES: dict[str, Callable[[Tally], None]] = {
    "check": check,
    "rust": rust,
    "python": python_package,
    "ui": ui,
    "browser": browser,
    "e2e": e2e,
    "frameworks": frameworks,
}


def main(names: list[str]) -> int:
    if unknown := [name for name in names if name not in STAGES]:
        print(f"unknown stage {unknown[0]}; there are: {', '.join(STAGES)}", file=sys.stderr)
        return 64
    os.environ["NO_COLOR"] = "1"
    os.environ.setdefault("CARGO_TERM_COLOR", "never")
    tally = Tally()
    for name in names or STAGES:
        STAGES[name](tally)
    print()
    for failure in tally.failures:
        print(f"FAILED: {failure}")
    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    return int(tally.failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
