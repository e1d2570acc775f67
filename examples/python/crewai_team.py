"""A crew of CrewAI: a researcher with a tool that fails once, a writer, an editor.

    python examples/python/crewai_team.py

Needs a running Spanwise (`make run`) and `pip install "spanwise[crewai]" crewai`. The model is
a mock that answers offline; with OPENAI_API_KEY set, OpenAI's own answers.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import logging
import os

os.environ.setdefault("CREWAI_DISABLE_TELEMETRY", "true")
os.environ.setdefault("CREWAI_TRACING_ENABLED", "false")

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

from mock_model import Reply, Request, ToolCall
from offline import start
from spanwise import task, workflow

# It says of every call that it counts tokens by their letters.
logging.getLogger("crewai").setLevel(logging.ERROR)

ARCHIVE = {"glacier": "Jostedalsbreen lost 19 metres of its front in 2024.", "sea": "The fjord was 2 °C too warm."}


def script(request: Request) -> Reply | str:
    """What the mock model answers."""
    if "Researcher" in request.system:
        wanted = ["ice", "glacier", "sea"]
        if len(request.results) < len(wanted):
            return Reply(calls=(ToolCall("archive", {"topic": wanted[len(request.results)]}),))
        return "The glacier lost 19 metres in 2024, and the fjord was 2 °C too warm."
    if "Writer" in request.system:
        return "Nineteen metres: that is how far the glacier drew back in one year, above a fjord two degrees too warm."
    return "Nineteen metres in one year: the glacier draws back above a fjord that is too warm."


@task
def look_up(topic: str) -> str:
    if topic not in ARCHIVE:
        raise KeyError(f"nothing is filed under '{topic}'; there are: {', '.join(ARCHIVE)}")
    return ARCHIVE[topic]


@tool("archive")
def archive(topic: str) -> str:
    """What the archive has about a topic."""
    return look_up(topic)


@workflow(name="newsroom", organization_id="acme")
def write_story(subject: str) -> str:
    model = LLM(model="openai/gpt-4o", temperature=0.4)
    researcher = Agent(
        role="Researcher", goal="find facts", backstory="patient, exact", tools=[archive], llm=model, max_iter=8
    )
    writer = Agent(role="Writer", goal="write one strong paragraph", backstory="ten years at a daily", llm=model)
    editor = Agent(role="Editor", goal="cut what is too much", backstory="never misses a deadline", llm=model)
    facts = Task(description=f"Find facts about {subject}", expected_output="two facts", agent=researcher)
    text = Task(description="Write the paragraph", expected_output="one paragraph", agent=writer, context=[facts])
    final = Task(description="Shorten it", expected_output="one sentence", agent=editor, context=[text])
    crew = Crew(name="newsroom", agents=[researcher, writer, editor], tasks=[facts, text, final])
    return str(crew.kickoff(inputs={"subject": subject}))


if __name__ == "__main__":
    with start("newsroom", script):
        print(write_story("the glacier"))
