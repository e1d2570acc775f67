"""A stand-in for the OpenAI HTTP API that answers by script, so that the real client can run."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "gpt-4o-2024-08-06"
TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
USAGE = {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150}
ANSWER = "It is 18 °C and sunny in Paris."


def completion(request: dict[str, Any]) -> dict[str, Any]:
    """A tool call on the first turn, where tools are offered; a text once the tool has answered."""
    wants_tool = "tools" in request and not any(message["role"] == "tool" for message in request["messages"])
    message: dict[str, Any] = {"role": "assistant", "content": None if wants_tool else ANSWER}
    if wants_tool:
        message["tool_calls"] = [TOOL_CALL]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if wants_tool else "stop"}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [choice],
        "usage": USAGE,
    }


def chunks(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The answer as a stream of deltas, with the usage in the last one."""
    base = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": MODEL}
    yield {**base, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}
    for word in ANSWER.split(" "):
        yield {**base, "choices": [{"index": 0, "delta": {"content": word + " "}, "finish_reason": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if request.get("stream_options", {}).get("include_usage"):
        yield {**base, "choices": [], "usage": USAGE}


class Handler(BaseHTTPRequestHandler):
    """Answers /chat/completions and /embeddings; the model `broken` gives 429."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if request["model"] == "broken":
            self.answer(429, {"error": {"message": "rate limited", "type": "rate_limit_exceeded", "code": "429"}})
        elif self.path.endswith("/embeddings"):
            item = {"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 1.0]}
            usage = {"prompt_tokens": 8, "total_tokens": 8}
            self.answer(200, {"object": "list", "model": request["model"], "data": [item], "usage": usage})
        elif request.get("stream"):
            events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks(request)) + "data: [DONE]\n\n"
            self.write(200, "text/event-stream", events.encode())
        else:
            self.answer(200, completion(request))

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.write(status, "application/json", json.dumps(body).encode())

    def write(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def openai_api() -> Iterator[str]:
    """Runs the stand-in; gives the base URL for the client."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
