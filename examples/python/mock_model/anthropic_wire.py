"""Anthropic's API: messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from mock_model.conversation import Message, Reply, Request, text_of

FAILURES = {401: "authentication_error", 429: "rate_limit_error", 529: "overloaded_error"}


def read(raw: dict[str, Any]) -> Request:
    messages = [Message("system", text_of(raw["system"]))] if raw.get("system") else []
    for one in raw["messages"]:
        parts = one["content"] if isinstance(one["content"], list) else [{"type": "text", "text": one["content"]}]
        results = [part for part in parts if part.get("type") == "tool_result"]
        messages += [Message("tool", text_of(part.get("content"))) for part in results]
        if text := text_of([part for part in parts if part.get("type") == "text"]):
            messages.append(Message(one["role"], text))
    tools = [tool["name"] for tool in raw.get("tools") or []]
    return Request(raw["model"], messages, tools, bool(raw.get("stream")), raw)


def answer(request: Request, reply: Reply) -> dict[str, Any]:
    asked, said = reply.used(request)
    usage = {"input_tokens": asked, "output_tokens": said}
    return {**head(request, reply), "content": blocks(reply), "stop_reason": stop_reason(reply), "usage": usage}


def events(request: Request, reply: Reply) -> Iterator[str]:
    asked, said = reply.used(request)
    # How much it will say, it does not know yet.
    usage = {"input_tokens": asked, "output_tokens": 1}
    yield event("message_start", message={**head(request, reply), "usage": usage})
    for index, block in enumerate(blocks(reply)):
        if block["type"] == "text":
            yield event("content_block_start", index=index, content_block={"type": "text", "text": ""})
            deltas = [{"type": "text_delta", "text": word} for word in reply.words]
        else:
            yield event("content_block_start", index=index, content_block={**block, "input": {}})
            deltas = [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        for delta in deltas:
            yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    delta = {"stop_reason": stop_reason(reply), "stop_sequence": None}
    yield event("message_delta", delta=delta, usage={"output_tokens": said})
    yield event("message_stop")


def head(request: Request, reply: Reply) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": reply.model or request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def blocks(reply: Reply) -> list[dict[str, Any]]:
    text = [{"type": "text", "text": reply.text}] if reply.text else []
    return text + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments} for call in reply.calls
    ]


def stop_reason(reply: Reply) -> str:
    return "tool_use" if reply.calls else "end_turn"


def error(reply: Reply) -> dict[str, Any]:
    return {"type": "error", "error": {"type": FAILURES.get(reply.status, "api_error"), "message": reply.text}}


def event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


MESSAGES = SimpleNamespace(read=read, answer=answer, events=events, error=error)
