"""A graph of LangGraph with an agent of LangChain in it: tools, retrieval, an answer that is checked.

    python examples/python/langchain_agent.py

Needs a running Spanwise (`make run`) and
`pip install "spanwise[langchain]" langchain langgraph langchain-openai`. The model is a mock
that answers offline; with OPENAI_API_KEY set, OpenAI's own answers.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any, TypedDict

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.graph import END, START, StateGraph

from mock_model import Reply, Request, ToolCall
from offline import start
from spanwise import workflow
from spanwise.tracing import set_span_context

NOTES = [
    "The Bergen line leaves Oslo at 08:25 and 11:59; it takes seven hours.",
    "Finse, the highest station, lies at 1222 metres. Snow is possible until June.",
    "Seats on the left have the better view when going west.",
]


def script(request: Request) -> Reply | str:
    """What the mock model answers. Its first draft forgets the snow."""
    if "Check" in request.system:
        return "ok" if "snow" in request.question else "Say that there may be snow at Finse."
    if not request.results:
        return Reply(
            calls=(ToolCall("search_notes", {"query": "Bergen line"}), ToolCall("forecast", {"place": "Finse"}))
        )
    draft = "Take the 08:25 from Oslo and sit on the left; you are in Bergen at half past three."
    return f"{draft} Pack a coat: there may be snow at Finse." if "coat" in request.question else draft


class State(TypedDict):
    question: str
    draft: str
    remark: str


def make_graph() -> Any:
    notes = InMemoryVectorStore(OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False))
    notes.add_texts(NOTES)

    @tool
    def search_notes(query: str) -> str:
        """Searches the travel notes."""
        return "\n".join(found.page_content for found in notes.as_retriever(search_kwargs={"k": 2}).invoke(query))

    @tool
    def forecast(place: str) -> str:
        """The weather at a place tomorrow."""
        return f"{place}: -2 °C, snow showers"

    planner = create_agent(
        ChatOpenAI(model="gpt-4o", temperature=0.3),
        [search_notes, forecast],
        system_prompt="You plan journeys by train from your notes.",
        name="planner",
    )

    def plan(state: State) -> dict[str, Any]:
        asked = state["question"] + (f" (and pack a coat? {state['remark']})" if state.get("remark") else "")
        answered = planner.invoke({"messages": [{"role": "user", "content": asked}]})
        return {"draft": answered["messages"][-1].content}

    def check(state: State) -> dict[str, Any]:
        judge = ChatOpenAI(model="gpt-4o-mini", temperature=0)
        asked = [("system", "Check the plan. Answer ok, or what is missing."), ("user", state["draft"])]
        return {"remark": judge.invoke(asked).content}

    graph = StateGraph(State).add_node("plan", plan).add_node("check", check)
    graph.add_edge(START, "plan").add_edge("plan", "check")
    graph.add_conditional_edges("check", lambda state: END if state["remark"] == "ok" else "plan")
    return graph.compile(name="journey")


@workflow(name="plan_journey")
def plan_journey(question: str) -> str:
    set_span_context({"conversation_id": "journey-7", "user_id": "roald"})
    return make_graph().invoke({"question": question})["draft"]


if __name__ == "__main__":
    with start("travel", script):
        print(plan_journey("How do I get from Oslo to Bergen tomorrow?"))
