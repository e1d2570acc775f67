"""A crew of two of CrewAI."""

# pyright: reportMissingImports=false
from __future__ import annotations

import os

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false")
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

from scenario import QUESTION, run
from spanwise import task


@task
def look_out_of_the_window(city: str) -> str:
    return f"rain in {city}"


@tool("weather")
def weather(city: str) -> str:
    """The weather in a city."""
    return look_out_of_the_window(city)


def crew() -> None:
    model = LLM(model="openai/gpt-4o", temperature=0.25)
    forecaster = Agent(
        role="Forecaster", goal="know the weather", backstory="a meteorologist", tools=[weather], llm=model
    )
    writer = Agent(role="Writer", goal="write one line", backstory="a poet", llm=model)
    forecast = Task(description=QUESTION, expected_output="the weather", agent=forecaster)
    line = Task(description="Write a line about it", expected_output="a line", agent=writer, context=[forecast])
    Crew(name="weather", agents=[forecaster, writer], tasks=[forecast, line]).kickoff()


run(crew)
