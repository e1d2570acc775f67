"""OpenAI's APIs: chat completions, responses and embeddings."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from mock_model.conversation import Message, Reply, Request, ToolCall, text_of

CREATED = 1_760_000_000
ROLES = {"developer": "system", "function": "tool"}
FAILURES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def read_chat(raw: dict[str, Any]) -> Request:
    messages = [Message(role_of(one), text_of(one.get("content"))) for one in raw["messages"]]
    tools = [tool["function"]["name"] for tool in raw.get("tools") or []]
    return Request(raw["model"], messages, tools, bool(raw.get("stream")), raw)


def role_of(message: dict[str, Any]) -> str:
    return ROLES.get(message["role"]) or message["role"]


def answer_chat(request: Request, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [chat_call(call) for call in reply.calls]
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(reply)}
    return {**chat_head(request, reply, "chat.completion"), "choices": [choice], "usage": chat_usage(request, reply)}


def chat_events(request: Request, reply: Reply) -> Iterator[str]:
    head = chat_head(request, reply, "chat.completion.chunk")
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in reply.words)]
    deltas += [{"tool_calls": [{"index": at, **chat_call(call)}]} for at, call in enumerate(reply.calls)]
    for delta in deltas:
        yield data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield data({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason(reply)}]})
    if (request.raw.get("stream_options") or {}).get("include_usage"):
        yield data({**head, "choices": [], "usage": chat_usage(request, reply)})
    yield "data: [DONE]\n\n"


def chat_head(request: Request, reply: Reply, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": CREATED, "model": reply.model or request.model}


def chat_call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": json.dumps(call.arguments)},
    }


def chat_usage(request: Request, reply: Reply) -> dict[str, Any]:
    asked, said = reply.used(request)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def finish_reason(reply: Reply) -> str:
    return "tool_calls" if reply.calls else "stop"


def read_responses(raw: dict[str, Any]) -> Request:
    given = raw.get("input") or []
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    messages = [Message("system", raw["instructions"])] if raw.get("instructions") else []
    for item in items:
        if item.get("type") == "function_call_output":
            messages.append(Message("tool", text_of(item["output"])))
        elif "role" in item:
            messages.append(Message(role_of(item), text_of(item["content"])))
    tools = [tool["name"] for tool in raw.get("tools") or [] if "name" in tool]
    return Request(raw["model"], messages, tools, bool(raw.get("stream")), raw)


def answer_responses(request: Request, reply: Reply) -> dict[str, Any]:
    return {**response_head(request, reply), "status": "completed", **response_body(request, reply)}


def response_head(request: Request, reply: Reply) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "model": reply.model or request.model,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": request.raw.get("instructions"),
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": request.raw.get("temperature"),
        "tool_choice": "auto",
        "tools": request.raw.get("tools") or [],
        "top_p": None,
    }


def response_body(request: Request, reply: Reply) -> dict[str, Any]:
    asked, said = reply.used(request)
    usage = {
        "input_tokens": asked,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": said,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": asked + said,
    }
    return {"output": response_items(reply), "usage": usage}


def response_items(reply: Reply) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.text:
        part = {"type": "output_text", "text": reply.text, "annotations": []}
        items.append({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]})
    for call in reply.calls:
        items.append(
            {
                "id": f"fc_{call.id}",
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": json.dumps(call.arguments),
                "status": "completed",
            }
        )
    return items


def responses_events(request: Request, reply: Reply) -> Iterator[str]:
    head, number = response_head(request, reply), 0

    def event(kind: str, **fields: Any) -> str:
        nonlocal number
        number += 1
        return f"event: {kind}\n" + data({"type": kind, "sequence_number": number, **fields})

    yield event("response.created", response=head)
    for at, item in enumerate(response_items(reply)):
        where = {"item_id": item["id"], "output_index": at}
        yield event("response.output_item.added", output_index=at, item={**item, **blank(item)})
        if item["type"] == "message":
            where["content_index"] = 0
            empty = {"type": "output_text", "text": "", "annotations": []}
            yield event("response.content_part.added", **where, part=empty)
            for word in reply.words:
                yield event("response.output_text.delta", **where, delta=word, logprobs=[])
            yield event("response.output_text.done", **where, text=reply.text, logprobs=[])
            yield event("response.content_part.done", **where, part=item["content"][0])
        else:
            yield event("response.function_call_arguments.delta", **where, delta=item["arguments"])
            yield event("response.function_call_arguments.done", **where, arguments=item["arguments"])
        yield event("response.output_item.done", output_index=at, item=item)
    yield event("response.completed", response=answer_responses(request, reply))


def blank(item: dict[str, Any]) -> dict[str, Any]:
    """What an item lacks when it begins."""
    empty = {"content": []} if item["type"] == "message" else {"arguments": ""}
    return {**empty, "status": "in_progress"}


def embeddings(raw: dict[str, Any], texts: list[Any], tokens: int) -> dict[str, Any]:
    """Vectors of three numbers that depend on the text."""
    items = []
    for at, text in enumerate(texts):
        vector: list[float] = [len(str(text)) / 100, 0.5, -0.25]
        encoded = base64.b64encode(struct.pack("<3f", *vector)).decode()
        is_packed = raw.get("encoding_format") == "base64"
        items.append({"object": "embedding", "index": at, "embedding": encoded if is_packed else vector})
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "model": raw["model"], "data": items, "usage": usage}


def error(reply: Reply) -> dict[str, Any]:
    kind = FAILURES.get(reply.status, "server_error")
    return {"error": {"message": reply.text, "type": kind, "param": None, "code": kind}}


def data(body: dict[str, Any]) -> str:
    return f"data: {json.dumps(body)}\n\n"


CHAT = SimpleNamespace(read=read_chat, answer=answer_chat, events=chat_events, error=error)
RESPONSES = SimpleNamespace(read=read_responses, answer=answer_responses, events=responses_events, error=error)
