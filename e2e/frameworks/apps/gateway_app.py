"""LangChain with models behind a gateway, below our decorators.  usage: ENDPOINT GATEWAY"""

# pyright: reportMissingImports=false
from __future__ import annotations

import sys

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from opentelemetry import trace

from spanwise import Spanwise, workflow

QUESTION = "What is the weather in Oslo?"


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def openai(gateway: str, model: str = "gpt-4o") -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=f"{gateway}/v1", api_key="none", max_retries=0)


def anthropic(gateway: str) -> ChatAnthropic:
    return ChatAnthropic(model_name="claude-sonnet-5", base_url=gateway, api_key="none", max_retries=0)


@workflow(name="forecast")
def forecast(gateway: str) -> str:
    for model in (openai(gateway), anthropic(gateway), openai(gateway, "claude-sonnet-5")):
        said = create_agent(model, [weather], name="forecaster").invoke({"messages": [HumanMessage(QUESTION)]})
        assert said["messages"][-1].text == "It rains in Oslo."
    for model in (openai(gateway), anthropic(gateway)):
        assert "".join(piece.text for piece in model.stream("and streamed?")) == "It rains in Oslo."
    return f"{trace.get_current_span().get_span_context().trace_id:032x}"


endpoint, gateway = sys.argv[1:]
with Spanwise.init("forecaster", opentelemetry_endpoint=endpoint):
    trace_id = forecast(gateway)
print(trace_id)
