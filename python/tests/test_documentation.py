"""What the documentation shows runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from spanwise import _state

PAGE = Path(__file__).resolve().parents[2] / "docs" / "python.md"


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    if _state.STATE.running is not None:
        _state.STATE.running.shutdown()


def test_the_page_about_python_runs_from_top_to_bottom() -> None:
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(snippets) == 6
    names: dict[str, object] = {}
    for snippet in snippets:
        exec(compile(snippet, PAGE.name, "exec"), names)
