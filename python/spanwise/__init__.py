"""Tracing for LLM applications.

from spanwise import Spanwise, workflow

spanwise = Spanwise.init(app_name="support-bot")

@workflow(name="answer", organization_id="acme")
def answer(question: str) -> str: ...
"""

from spanwise._decorators import agent, task, tool, workflow
from spanwise._init import Spanwise

__all__ = ["Spanwise", "agent", "task", "tool", "workflow"]
