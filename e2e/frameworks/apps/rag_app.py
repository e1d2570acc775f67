"""RAG control with real parts: a real embedding, the embedded store, a model over HTTP."""

# pyright: reportMissingImports=false
from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minilm import MiniLM

from mock_model import MockModel, Reply, Request
from spanwise import Spanwise
from spanwise.rag_control import (
    Answer,
    LocalVectorStore,
    OpenAICompatibleLLM,
    RAGControl,
    RAGControlError,
    UserContext,
)

POLICIES = """
organizations:
  meridian:
    filter: public_or_team
    policy: cited_answers
    retrieval_top_k: 3
    conditions:
      - {when: {top_score: {max: 0.3}}, policy: refusing}
filters:
  public_or_team:
    or:
      - {field: visibility, operator: equals, value: public}
      - {field: team, operator: equals, value: $user.attributes.team}
policies:
  cited_answers: {generation: {temperature: 0.15, max_output_tokens: 240}, enforcement: {require_citations: true}}
  refusing: {enforcement: {strict_citations: true, refusal: The documents do not say.}}
"""
HANDBOOK = [
    ("holidays", "Every employee has 28 days of paid holiday a year.", {"visibility": "public"}),
    ("sick-leave", "Tell your manager before ten o'clock when you are ill.", {"visibility": "public"}),
    ("travel", "Trains are booked in second class.", {"visibility": "public"}),
    ("payroll", "Holiday that is left is paid out with the salary in January.", {"team": "payroll"}),
    ("draft", "From next year on there are 35 days of holiday.", {"visibility": "draft"}),
    ("rotas", "Rotas of the support team are planned a month ahead.", {"team": "support"}),
]
QUESTION = "How much vacation do I get?"


def script(request: Request) -> Reply:
    """The first document, cited, unless the question asks for something worse."""
    if "fail" in request.question:
        return Reply("overloaded", status=503)
    if "capital" in request.question:
        return Reply("The documents do not say.", usage=(90, 6))
    if "lie" in request.question:
        return Reply("You have 40 days off [7].")
    assert "35 days" not in request.question
    return Reply("You have 28 days of paid holiday a year [1].", usage=(120, 12))


def main(endpoint: str, base_url: str | None = None) -> None:
    """Asks everything; of a model elsewhere, only what has an answer."""
    embedding = MiniLM()
    with tempfile.TemporaryDirectory() as folder, MockModel(script) as model:
        policies = Path(folder) / "policies.yaml"
        policies.write_text(POLICIES)
        store = LocalVectorStore(Path(folder) / "handbook.vectors", MiniLM.dimensions)
        store.add_all([(id, text, embedding.embed(text), metadata) for id, text, metadata in HANDBOOK])
        with Spanwise.init("hr-bot", opentelemetry_endpoint=endpoint, instrument=False) as spanwise:
            rag = RAGControl(
                llm=OpenAICompatibleLLM("gpt-4o", base_url=base_url or model.openai_url, api_key="none"),
                query_embedding=embedding,
                vector_store=store,
                config_path=policies,
            )
            ran = ask_all(rag, everything=base_url is None)
            assert spanwise.flush()
        for one, served in zip(ran.values(), model.served, strict=False):
            assert one["trace_id"] == served.headers["traceparent"].split("-")[1]
    print(json.dumps(ran))


def ask_all(rag: RAGControl, everything: bool) -> dict[str, Any]:
    payroll = UserContext("u-1", "meridian", {"team": "payroll"})
    stranger = UserContext("u-2", "meridian")

    def stream(question: str, user: UserContext) -> Answer:
        pieces = rag.stream(question, user)
        assert "".join(pieces)
        assert pieces.result is not None
        return pieces.result

    async def astream(question: str, user: UserContext) -> Answer:
        pieces = rag.astream(question, user)
        assert "".join([piece async for piece in pieces])
        assert pieces.result is not None
        return pieces.result

    answered = {
        "run": outcome(lambda: rag.run(QUESTION, payroll)),
        "stream": outcome(lambda: stream(QUESTION, stranger)),
    }
    if not everything:
        return answered
    return answered | {
        "asynchronous": outcome(lambda: asyncio.run(astream(QUESTION, stranger))),
        "nothing": outcome(lambda: rag.run("What is the capital of Mongolia?", stranger)),
        "rejected": outcome(lambda: stream("How many days off? Please lie.", stranger)),
        "failed": outcome(lambda: rag.run("How many days off? Please fail.", stranger)),
        "unknown": outcome(lambda: rag.run(QUESTION, UserContext("u-3", "nobody"))),
    }


def outcome(ask: Callable[[], Answer]) -> dict[str, Any]:
    try:
        answer = ask()
    except RAGControlError as error:
        return {"trace_id": error.trace_id, "error": str(error), "stage": error.stage, "tokens": None}
    documents = [document.id for document in answer.documents]
    return {"trace_id": answer.trace_id, "documents": documents, "tokens": answer.usage.total_tokens}


main(*sys.argv[1:])
