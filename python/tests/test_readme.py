"""What the README shows does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import Sink
from mock_model import MockModel
from spanwise import Spanwise

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readmes_example_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    model, sink = MockModel(lambda request: "rain"), Sink()
    monkeypatch.setenv("OPENAI_BASE_URL", model.openai_url)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    # The first to start decides where spans go; the example's own call returns the same instance.
    with Spanwise.init("support", exporter=sink, trace_exporter="none") as spanwise:
        names: dict[str, object] = {}
        exec(example, names)
        chat = names["chat"]
        assert callable(chat)
        assert chat("Where is my parcel?") == "rain"
        assert spanwise.flush()
    spans = {span.name: span for span in sink.spans}
    assert {"workflow.customer_chat", "tool.order_status", "ChatCompletion"} <= set(spans)
    root = spans["workflow.customer_chat"]
    assert spans["tool.order_status"].parent_span_id == root.span_id
    assert spans["ChatCompletion"].parent_span_id == root.span_id
    model.close()
