"""An agent without a framework: a workflow, two agents, tools, a call that fails and is tried again.

    python examples/python/plain.py

Needs a running Spanwise (`make run`) and `pip install "spanwise[openai]" openai`. The model is a mock
that answers offline; with OPENAI_API_KEY set, OpenAI's own answers.
"""

from __future__ import annotations

import json
from typing import Any

import openai

from mock_model import Reply, Request, ToolCall
from offline import start
from spanwise import agent, task, tool, workflow
from spanwise.tracing import set_span_context

ORDERS = {"A-1042": {"item": "espresso machine", "status": "lost in transit", "paid": 349.0}}
TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": "find_order",
            "description": "Looks an order up",
            "parameters": {"type": "object", "properties": {"number": {"type": "string"}}},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "refund",
            "description": "Pays an order back",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "string"}, "amount": {"type": "number"}},
            },
        },
    },
]


def script(request: Request) -> Reply | str:
    """What the mock model answers."""
    if "Classify" in request.system:
        return "refund"
    if "Rewrite" in request.system:
        return "We are sorry that your espresso machine was lost. We have paid back your $349.00 today."
    done = len(request.results)
    if done == 0:
        return Reply(calls=(ToolCall("find_order", {"number": "A-1042"}),))
    if done == 1:
        return Reply(calls=(ToolCall("refund", {"number": "A-1042", "amount": 349.0}),))
    if "busy" in request.results[-1]:
        return Reply(calls=(ToolCall("refund", {"number": "A-1042", "amount": 349.0}),))
    return "Order A-1042 (espresso machine) was lost in transit; $349.00 refunded."


class Busy(Exception):
    """The payment service asks to come back later."""


attempts = 0


@task
def pay_back(number: str, amount: float) -> str:
    global attempts
    attempts += 1
    if attempts == 1:
        raise Busy("the payment service is busy")
    return f"refunded {amount:.2f} for {number}"


@tool
def find_order(number: str) -> str:
    return json.dumps(ORDERS[number])


@tool
def refund(number: str, amount: float) -> str:
    return pay_back(number, amount)


def ask(system: str, text: str) -> str:
    messages: Any = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    answer = openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=messages, temperature=0)
    return answer.choices[0].message.content or ""


@agent
def triage(message: str) -> str:
    return ask("Classify the customer's message: refund, question or praise.", message)


@agent
def resolver(message: str) -> str:
    client = openai.OpenAI()
    messages: Any = [
        {"role": "system", "content": "You solve problems with orders. Look the order up before you act."},
        {"role": "user", "content": message},
    ]
    while True:
        answer = client.chat.completions.create(model="gpt-4o", messages=messages, tools=TOOLS, temperature=0.2)
        said = answer.choices[0].message
        if not said.tool_calls:
            return said.content or ""
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls:
            messages.append({"role": "tool", "tool_call_id": call.id, "content": run_tool(call)})


def run_tool(call: Any) -> str:
    known = {"find_order": find_order, "refund": refund}
    try:
        return known[call.function.name](**json.loads(call.function.arguments))
    except Busy as error:
        # The model is told, and decides whether to try again.
        return f"error: {error}"


@workflow(name="support_ticket", organization_id="acme", project_id="shop")
def handle(message: str) -> str:
    set_span_context({"conversation_id": "ticket-4711", "user_id": "ada"})
    if triage(message) != "refund":
        return "A colleague will answer you."
    return ask("Rewrite for the customer, warmly and briefly.", resolver(message))


if __name__ == "__main__":
    with start("support-desk", script):
        print(handle("My order A-1042 never arrived. I want my money back!"))
