"""An agent of A2A's own SDK and a server of MCP's own, and their own clients, which reach them through a gateway.

agents_app.py SERVERS_PORT GATEWAY TRACEPARENT

Prints what the clients were told, and what the servers saw of the trace.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import uvicorn
from a2a.client import A2ACardResolver, ClientConfig, create_client
from a2a.helpers import get_stream_response_text, new_task_from_user_message, new_text_message, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.request_handlers import DefaultRequestHandler
from a2a.server.routes import create_agent_card_routes, create_jsonrpc_routes, create_rest_routes
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, GetTaskRequest, Role, SendMessageRequest
from mcp import Client as McpClient
from mcp.server import MCPServer
from opentelemetry import context, propagate, trace
from starlette.applications import Starlette
from starlette.routing import Mount


class Weather(AgentExecutor):
    """Tells the weather, in two pieces."""

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        task = context.current_task or new_task_from_user_message(context.message)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task.id, task.context_id)
        await updater.start_work()
        await updater.add_artifact([new_text_part("It rains ")], artifact_id="a", append=False)
        await updater.add_artifact([new_text_part("in Oslo.")], artifact_id="a", append=True, last_chunk=True)
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


def agent(port: int) -> list[Any]:
    """The routes of an agent whose card knows only its private address."""
    interfaces = [
        AgentInterface(url=f"http://127.0.0.1:{port}/a2a/rpc", protocol_binding="JSONRPC", protocol_version="1.0"),
        AgentInterface(url=f"http://127.0.0.1:{port}/a2a", protocol_binding="HTTP+JSON", protocol_version="1.0"),
    ]
    skill = AgentSkill(id="weather", name="Weather", description="Tells the weather", tags=["weather"])
    card = AgentCard(
        name="Weather",
        description="Tells the weather",
        version="1",
        supported_interfaces=interfaces,
        capabilities=AgentCapabilities(streaming=True),
        default_input_modes=["text/plain"],
        default_output_modes=["text/plain"],
        skills=[skill],
    )
    handler = DefaultRequestHandler(Weather(), InMemoryTaskStore(), card)
    rpc = create_jsonrpc_routes(handler, "/rpc", enable_v0_3_compat=True)
    return [*create_agent_card_routes(card), *rpc, *create_rest_routes(handler)]


tools = MCPServer("tools")


@tools.tool()
def parent_of(city: str) -> str:
    """Says whose span a call is below."""
    if city == "Atlantis":
        raise ValueError("there is no such city")
    seen = trace.get_current_span().get_span_context()
    return f"{seen.trace_id:032x}-{seen.span_id:016x}"


async def ask_agent(gateway: str, traceparent: str, binding: str) -> dict[str, Any]:
    """What A2A's client is told, in a stream and in one piece."""
    async with httpx.AsyncClient(headers={"traceparent": traceparent}) as http:
        card = await A2ACardResolver(http, f"{gateway}/weather").get_agent_card()
        config = ClientConfig(httpx_client=http, supported_protocol_bindings=[binding], use_client_preference=True)
        client = await create_client(card, config)
        message = new_text_message("weather?", role=Role.ROLE_USER)
        request = SendMessageRequest(message=message)
        events = [event async for event in client.send_message(request)]
        texts = [get_stream_response_text(event) for event in events if event.HasField("artifact_update")]
        task = await client.get_task(GetTaskRequest(id=events[0].task.id))
        return {"urls": [one.url for one in card.supported_interfaces], "texts": texts, "task": task.id}


async def call_tools(gateway: str, traceparent: str, mode: Any) -> dict[str, Any]:
    """What MCP's client is told; it carries the trace's context in the requests themselves."""
    token = context.attach(propagate.extract({"traceparent": traceparent}))
    try:
        async with McpClient(f"{gateway}/tools/mcp", mode=mode) as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            good = await client.call_tool("parent_of", {"city": "Oslo"})
            bad = await client.call_tool("parent_of", {"city": "Atlantis"})
            return {"tools": names, "parent": good.content[0].text, "fails": bad.is_error}
    finally:
        context.detach(token)


async def main(port: int, gateway: str, traceparent: str) -> None:
    mcp = tools.streamable_http_app()
    app = Starlette(
        routes=[Mount("/a2a", routes=agent(port)), Mount("/", app=mcp)], lifespan=mcp.router.lifespan_context
    )
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    told = {
        "JSONRPC": await ask_agent(gateway, traceparent, "JSONRPC"),
        "HTTP+JSON": await ask_agent(gateway, traceparent, "HTTP+JSON"),
        "mcp": await call_tools(gateway, traceparent, "auto"),
        "mcp before 2026": await call_tools(gateway, traceparent, "legacy"),
    }
    server.should_exit = True
    await serving
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
