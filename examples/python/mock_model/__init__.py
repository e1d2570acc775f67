"""A model that answers by a script, offline, over the HTTP APIs of OpenAI and Anthropic.

with MockModel(script) as model:
    openai.OpenAI(base_url=model.openai_url, api_key="none")
    anthropic.Anthropic(base_url=model.anthropic_url, api_key="none")

A script is a function that is given a `Request` and returns a `Reply` or only its text.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mock_model import anthropic_wire, openai_wire
from mock_model.conversation import Message, Reply, Request, ToolCall, tokens_in

__all__ = ["Message", "MockModel", "Reply", "Request", "Served", "ToolCall"]

Script = Callable[[Request], "Reply | str"]


@dataclass(frozen=True)
class Served:
    """A call that was answered, and what it used."""

    model: str
    input_tokens: int
    output_tokens: int
    headers: dict[str, str]


class MockModel:
    """The server. It answers from a thread of its own until it is closed.

    `seconds_per_token` makes answers take their time.
    """

    def __init__(self, script: Script, seconds_per_token: float = 0.0) -> None:
        self.script = script
        self.seconds_per_token = seconds_per_token
        self.served: list[Served] = []
        model = self

        class Handler(Conversation):
            mock = model

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def anthropic_url(self) -> str:
        """What Anthropic's client takes as `base_url`."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def openai_url(self) -> str:
        """What OpenAI's client takes as `base_url`."""
        return f"{self.anthropic_url}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MockModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Conversation(BaseHTTPRequestHandler):
    """One connection."""

    mock: MockModel
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        raw = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = self.path.partition("?")[0]
        if path.endswith("/embeddings"):
            self.embed(raw)
        elif path.endswith("/chat/completions"):
            self.converse(raw, openai_wire.CHAT)
        elif path.endswith("/responses"):
            self.converse(raw, openai_wire.RESPONSES)
        elif path.endswith("/messages"):
            self.converse(raw, anthropic_wire.MESSAGES)
        else:
            self.send_json(404, {"error": {"message": f"there is no {path}"}})

    def embed(self, raw: dict[str, Any]) -> None:
        texts = raw["input"] if isinstance(raw["input"], list) else [raw["input"]]
        tokens = sum(tokens_in(str(text)) for text in texts)
        self.serve(raw["model"], (tokens, 0))
        self.send_json(200, openai_wire.embeddings(raw, texts, tokens))

    def converse(self, raw: dict[str, Any], wire: Any) -> None:
        request = wire.read(raw)
        reply = self.mock.script(request)
        reply = Reply(reply) if isinstance(reply, str) else reply
        if reply.status != 200:
            self.send_json(reply.status, wire.error(reply))
            return
        used = reply.used(request)
        self.serve(request.model, used)
        if request.stream:
            self.send_events(wire.events(request, reply))
        else:
            time.sleep(self.mock.seconds_per_token * used[1])
            self.send_json(200, wire.answer(request, reply))

    def serve(self, model: str, used: tuple[int, int]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.mock.served.append(Served(model, *used, headers))

    def send_json(self, status: int, body: dict[str, Any]) -> None:
        encoded = json.dumps(body).encode()
        self.begin(status, "application/json")
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def begin(self, status: int, content_type: str) -> None:
        """Begins an answer, the only one of this connection: so none is left open."""
        self.close_connection = True
        self.send_response(status)
        self.send_header("connection", "close")
        self.send_header("content-type", content_type)

    def send_events(self, events: Iterator[str]) -> None:
        """Sends server-sent events one by one, as a model does while it thinks."""
        self.begin(200, "text/event-stream")
        self.end_headers()
        for event in events:
            time.sleep(self.mock.seconds_per_token)
            try:
                self.wfile.write(event.encode())
                self.wfile.flush()
            except OSError:
                # Who asked has heard enough.
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""
