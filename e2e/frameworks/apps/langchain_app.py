"""LangChain's agents and retrievers, and a graph of LangGraph."""

# pyright: reportMissingImports=false
from __future__ import annotations

import asyncio
import contextlib
import operator
from typing import Annotated, Any, TypedDict

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.graph import END, START, StateGraph

from scenario import QUESTION, run
from spanwise import task
from spanwise.tracing import set_span_context


@task
def look_out_of_the_window(city: str) -> str:
    return f"rain in {city}"


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return look_out_of_the_window(city)


def agent() -> None:
    set_span_context({"conversation_id": "c-1"})
    forecaster = create_agent(
        ChatOpenAI(model="gpt-4o", temperature=0.25), [weather], system_prompt="You are a forecaster", name="forecaster"
    )
    forecaster.invoke({"messages": [HumanMessage(QUESTION)]})


def asynchronous() -> None:
    forecaster = create_agent(ChatOpenAI(model="gpt-4o"), [weather], name="forecaster")

    async def ask() -> None:
        await forecaster.ainvoke({"messages": [HumanMessage(QUESTION)]})
        async for _ in ChatOpenAI(model="gpt-4o", stream_usage=True).astream("and streamed?"):
            pass

    asyncio.run(ask())


class State(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]


def graph() -> None:
    def observe(state: State) -> dict[str, Any]:
        return {"messages": [HumanMessage(f"{state['messages'][0].content} ({look_out_of_the_window('Oslo')})")]}

    def answer(state: State) -> dict[str, Any]:
        return {"messages": [ChatAnthropic(model_name="claude-sonnet-5").invoke(state["messages"][-1:])]}

    built = StateGraph(State).add_node("observe", observe).add_node("answer", answer)
    built.add_edge(START, "observe").add_edge("observe", "answer").add_edge("answer", END)
    built.compile(name="forecast").invoke({"messages": [HumanMessage("What now?")]})


def stream() -> None:
    assert list(ChatOpenAI(model="gpt-4o", stream_usage=True).stream("and streamed?"))
    look_out_of_the_window("Oslo")


def abandoned() -> None:
    for _ in ChatOpenAI(model="gpt-4o", stream_usage=True).stream("and left?"):
        look_out_of_the_window("Oslo")
        break
    look_out_of_the_window("Rome")


def retrieval() -> None:
    embeddings = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False)
    store = InMemoryVectorStore(embeddings)
    store.add_texts(["It rains in Oslo.", "The sun shines in Rome."])
    store.as_retriever(search_kwargs={"k": 1}).invoke("Oslo?")


def error() -> None:
    with contextlib.suppress(Exception):
        ChatOpenAI(model="broken", max_retries=0).invoke("hi")


run(agent, asynchronous, graph, stream, abandoned, retrieval, error)
