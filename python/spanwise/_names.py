"""Names of attributes."""

from __future__ import annotations

CONTEXT_KEYS = {
    "organization_id": "organization.id",
    "project_id": "project.id",
    "agent_id": "agent.id",
    "request_id": "request.id",
    "conversation_id": "conversation.id",
    "session_id": "session.id",
    "user_id": "user.id",
    "framework_name": "framework.name",
    "framework_version": "framework.version",
    "llm_provider": "llm.provider",
    "llm_model": "llm.model",
    "llm_temperature": "llm.temperature",
}


def context_key(key: str) -> str:
    """The attribute that a context's key stands for: ``organization_id`` is ``organization.id``."""
    return CONTEXT_KEYS.get(key, key)
