"""A main agent, two more and two services, each a process of its own: they reach each other and the
model only through the gateway, and what they do is one trace.

    python examples/python/multi_agent.py

Needs a running Spanwise (`make run`), its binary (`spanwise` on the PATH, or named by SPANWISE_BIN) and
`pip install "spanwise[openai,http]" openai`. The model is a mock that answers offline; with OPENAI_API_KEY
set, OpenAI's own answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import openai
from opentelemetry import context, propagate

from mock_model import MockModel, Request
from offline import say_where_to_look
from spanwise import Spanwise, agent, task, workflow

RECEIVER = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
# Where the gateway is, once it runs.
GATEWAY = {"agents": "", "models": ""}


@task
def forecast(city: str) -> dict[str, Any]:
    return {"city": city, "forecast": "sunny, 24 °C"}


@task
def price(city: str) -> dict[str, Any]:
    return {"city": city, "hotel": 120, "currency": "EUR"}


@agent
def researcher(question: str) -> str:
    weather = service("weather", city="Lisbon")
    return think("You research places.", f"{question} The weather service says: {weather}")


@agent
def writer(question: str) -> str:
    prices = service("prices", city="Lisbon")
    return think("You write offers.", f"{question} The price service says: {prices}")


@agent
def concierge(wish: str) -> str:
    think("You plan. Whom do you need?", wish)
    findings = ask("researcher", "What is Lisbon like in May?")
    return ask("writer", f"Write an offer from this: {findings}")


@workflow(name="plan_trip", organization_id="acme")
def plan_trip(wish: str) -> str:
    return concierge(wish)


def script(request: Request) -> str:
    """What the mock model answers."""
    return {
        "You plan. Whom do you need?": "First the researcher, then the writer.",
        "You research places.": "Lisbon in May: sunny, 24 °C, light until nine.",
        "You write offers.": "Three nights in sunny Lisbon from €120 a night.",
    }[request.system]


def think(system: str, text: str) -> str:
    """Asks the model."""
    client = openai.OpenAI(base_url=f"{GATEWAY['models']}/v1", api_key="the gateway has it")
    messages: Any = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages, temperature=0)
    return answer.choices[0].message.content or ""


def ask(name: str, text: str) -> str:
    """Sends a message to another agent, by A2A."""
    message = {"messageId": str(uuid.uuid4()), "contextId": "trip-7", "role": "ROLE_USER", "parts": [{"text": text}]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": {"message": message}}
    answer = httpx.post(f"{GATEWAY['agents']}/{name}", json=request, headers={"A2A-Version": "1.0"}, timeout=60)
    return answer.raise_for_status().json()["result"]["message"]["parts"][0]["text"]


def service(name: str, **parameters: str) -> str:
    """Asks a service, by plain HTTP."""
    return httpx.get(f"{GATEWAY['agents']}/{name}", params=parameters, timeout=60).raise_for_status().text


AGENTS: dict[str, Callable[[str], str]] = {"researcher": researcher, "writer": writer}
SERVICES: dict[str, Callable[[str], dict[str, Any]]] = {"weather": forecast, "prices": price}


class Caller(BaseHTTPRequestHandler):
    """Somebody who asks this process. What it does for them is below their span."""

    role = ""
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = request["params"]["message"]
        with self.span_of_caller():
            said = AGENTS[self.role](asked["parts"][0]["text"])
        message = {"messageId": str(uuid.uuid4()), "contextId": asked["contextId"], "role": "ROLE_AGENT"}
        result = {"message": {**message, "parts": [{"text": said}]}}
        self.answer({"jsonrpc": "2.0", "id": request["id"], "result": result})

    def do_GET(self) -> None:
        (city,) = parse_qs(urlsplit(self.path).query)["city"]
        with self.span_of_caller():
            found = SERVICES[self.role](city)
        self.answer(found)

    @contextmanager
    def span_of_caller(self) -> Iterator[None]:
        token = context.attach(propagate.extract(dict(self.headers.items())))
        try:
            yield
        finally:
            context.detach(token)

    def answer(self, body: dict[str, Any]) -> None:
        encoded = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(encoded)))
        self.end_headers()
        self.wfile.write(encoded)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def serve(role: str) -> None:
    """The life of an agent's or a service's process: it says its port, and learns where the gateway is."""
    with Spanwise.init(app_name=role), ThreadingHTTPServer(("127.0.0.1", 0), Caller) as server:
        Caller.role = role
        print(server.server_port, flush=True)
        GATEWAY.update(json.loads(sys.stdin.readline()))
        server.serve_forever()


@contextmanager
def running(*command: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        # What it has recorded is delivered before it ends.
        process.terminate()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def gateway_config(model: MockModel, ports: dict[str, str]) -> dict[str, Any]:
    routes = [{"path_prefix": f"/{name}", "agent": name} for name in ports]
    provider = {"model": "openai/gpt-4o-mini", "access_key": "$OPENAI_API_KEY"}
    if not os.environ.get("OPENAI_API_KEY"):
        provider = {"model": "openai/gpt-4o-mini", "base_url": model.openai_url}
    return {
        "listeners": [
            {"name": "models", "type": "model", "port": 0},
            {"name": "agents", "type": "agent", "port": 0, "routes": routes},
        ],
        "model_providers": [provider],
        "agents": [{"id": name, "url": f"http://127.0.0.1:{port}"} for name, port in ports.items()],
        "tracing": {"exporters": [{"kind": "otlp", "endpoint": RECEIVER}], "content": {"capture": True}},
    }


def main() -> None:
    with ExitStack() as stack:
        spanwise = stack.enter_context(Spanwise.init(app_name="concierge"))
        model = stack.enter_context(MockModel(script))
        roles = [*AGENTS, *SERVICES]
        others = {role: stack.enter_context(running(sys.executable, __file__, role)) for role in roles}
        config = gateway_config(model, {role: line_of(process) for role, process in others.items()})
        file = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "gateway.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML.
        binary = os.environ.get("SPANWISE_BIN", "spanwise")
        gateway = stack.enter_context(running(binary, "gateway", "--config", file, "--log", "warn"))
        for _ in range(len(config["listeners"])):
            _, name, address = line_of(gateway).split()
            GATEWAY[name] = address
        for process in others.values():
            assert process.stdin is not None
            process.stdin.write(json.dumps(GATEWAY) + "\n")
            process.stdin.flush()
        print(plan_trip("Three days by the sea in May, please."))
        say_where_to_look(spanwise)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(sys.argv[1])
    else:
        main()
