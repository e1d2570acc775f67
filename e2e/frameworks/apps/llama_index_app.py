"""LlamaIndex: an agent, retrieval, a stream."""

# pyright: reportMissingImports=false
from __future__ import annotations

import asyncio
import contextlib

from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI

from scenario import QUESTION, run
from spanwise import tool


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"rain in {city}"


def model(name: str = "gpt-4o") -> OpenAI:
    return OpenAI(model=name, temperature=0.25, max_retries=0)


def agent() -> None:
    async def ask() -> None:
        forecaster = FunctionAgent(
            name="forecaster", tools=[FunctionTool.from_defaults(weather)], llm=model(), streaming=False
        )
        await forecaster.run(QUESTION)

    asyncio.run(ask())


def retrieval() -> None:
    Settings.llm = model()
    Settings.embed_model = OpenAIEmbedding(model="text-embedding-3-small")
    index = VectorStoreIndex.from_documents([Document(text="It rains in Oslo."), Document(text="Rome is sunny.")])
    index.as_query_engine(similarity_top_k=1).query(QUESTION)


def stream() -> None:
    asked = [ChatMessage(role="user", content="and streamed?")]
    assert list(model().stream_chat(asked, stream_options={"include_usage": True}))


def error() -> None:
    with contextlib.suppress(Exception):
        OpenAI(model="gpt-4o", additional_kwargs={"model": "broken"}, max_retries=0).chat(
            [ChatMessage(role="user", content="hi")]
        )


run(agent, retrieval, stream, error)
