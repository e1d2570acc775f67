"""What the documentation shows runs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from spanwise import _state

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(autouse=True)
def stopped() -> Iterator[None]:
    yield
    if _state.STATE.running is not None:
        _state.STATE.running.shutdown()


def test_the_page_about_python_runs_from_top_to_bottom() -> None:
    run("python.md", n_snippets=6)


def test_the_page_about_rag_control_runs_with_its_policy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (policies,) = snippets("rag-control.md", "yaml")
    (tmp_path / "policies.yaml").write_text(policies)
    run("rag-control.md", n_snippets=3)


def snippets(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def run(page: str, n_snippets: int) -> None:
    shown = snippets(page, "python")
    assert len(shown) == n_snippets
    names: dict[str, object] = {}
    for snippet in shown:
        exec(compile(snippet, page, "exec"), names)
