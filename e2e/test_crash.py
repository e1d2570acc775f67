"""A few rounds of crash.py, so that every test run tries it; `make crash` runs 200."""

from __future__ import annotations

from pathlib import Path

import crash


def test_kill_9_loses_and_doubles_nothing(tmp_path: Path) -> None:
    outcome = crash.run(tmp_path, rounds=8, seed=8)
    print(outcome.summary())
    assert outcome.audit.faults() == []
    assert outcome.stored == outcome.counted
    assert outcome.audit.acknowledged > 0
