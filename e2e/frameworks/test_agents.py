"""The SDKs of A2A and MCP talk to each other through the gateway, and are understood."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from harness.frameworks import Program
from harness.gateway import running_gateway
from harness.server import Server

HERE = Path(__file__).parent
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_the_sdks_of_a2a_and_mcp_are_understood_on_their_way(tmp_path: Path, server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    routes = [{"path_prefix": f"/{name}", "agent": name} for name in ("weather", "tools")]
    config = {
        "listeners": [{"name": "models", "type": "agent", "port": 0, "routes": routes}],
        "agents": [
            {"id": "weather", "url": f"http://127.0.0.1:{port}/a2a"},
            {"id": "tools", "url": f"http://127.0.0.1:{port}"},
        ],
        "tracing": {
            "exporters": [{"kind": "otlp", "endpoint": server.otlp_http}],
            "content": {"capture": True},
        },
    }
    with running_gateway(tmp_path, config) as gateway:
        app = Program(HERE / "apps/agents_app.py", "agents")
        told = json.loads(app.run(str(port), gateway.url, PARENT).split("\n")[-1])
        assert gateway.stop() == 0
    spans = spans_of(server)
    check_a2a(told["JSONRPC"], f"{gateway.url}/weather", spans)
    check_a2a(told["HTTP+JSON"], f"{gateway.url}/weather", spans)
    with_session = [span for span in spans if "mcp.session.id" in span["attributes"]]
    check_mcp(told["mcp"], [span for span in spans if span not in with_session])
    check_mcp(told["mcp before 2026"], [span for span in spans if span["name"] == "POST"] + with_session)
    assert "initialize" in {span["name"] for span in with_session}


def check_a2a(told: dict[str, Any], url: str, spans: list[dict[str, Any]]) -> None:
    assert told["urls"] == [f"{url}/rpc", url]
    assert "".join(told["texts"]) == "It rains in Oslo."
    of_task = {span["name"]: span for span in spans if span["attributes"].get("a2a.task.id") == told["task"]}
    assert set(of_task) == {"SendStreamingMessage", "GetTask"}
    for span in of_task.values():
        assert span["attributes"]["a2a.task.state"] == "TASK_STATE_COMPLETED"
        assert span["attributes"]["a2a.protocol.version"] == "1.0"
        assert span["attributes"]["gen_ai.conversation.id"]
    call = of_task["SendStreamingMessage"]
    assert call["attributes"]["gen_ai.operation.name"] == "invoke_agent"
    assert "It rains in Oslo." in call["attributes"]["gen_ai.output.messages"]


def check_mcp(told: dict[str, Any], spans: list[dict[str, Any]]) -> None:
    assert told["tools"] == ["parent_of"]
    assert told["fails"]
    names = [span["name"] for span in spans]
    assert "tools/list" in names
    good, bad = sorted(
        (span for span in spans if span["name"] == "tools/call parent_of"),
        key=lambda span: int(span["start_time_unix_nano"]),
    )
    assert good["attributes"]["gen_ai.operation.name"] == "execute_tool"
    assert "Oslo" in json.dumps(good["attributes"]["gen_ai.tool.call.arguments"])
    # What the server took for its parent is the attempt below the call.
    (attempt,) = (span for span in spans if span["parent_span_id"] == good["span_id"])
    assert told["parent"] == f"{TRACE}-{attempt['span_id']}"
    assert bad["attributes"]["error.type"] == "tool_error"


def spans_of(server: Server) -> list[dict[str, Any]]:
    until = time.monotonic() + 20
    while not server.api.has_trace(TRACE) and time.monotonic() < until:
        time.sleep(0.05)
    return server.api.trace(TRACE)["spans"]
