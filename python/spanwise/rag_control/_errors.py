"""What RAG control raises.

RAGControlError
├── InvalidQueryError (ValueError)
├── UnknownOrganizationError (LookupError)
├── EmbeddingError, RetrievalError, GenerationError   an adapter failed, or gave what cannot be used
└── EnforcementError                                  the answer breaks the policy
PolicyFileError (ValueError)                          a mistake in the policy file
"""

from __future__ import annotations


class RAGControlError(Exception):
    """A request that gave no answer. What an adapter raised is its ``__cause__``."""

    def __init__(
        self, message: str, stage: str, request_id: str, trace_id: str | None = None, rule: str | None = None
    ) -> None:
        super().__init__(message)
        #: The step that failed, as its span is named: ``embedding``, ``llm.generate``, …
        self.stage = stage
        #: The request, as spans and log lines name it.
        self.request_id = request_id
        #: Its trace, if it has one.
        self.trace_id = trace_id
        #: The rule of the policy that the answer breaks, if that is what happened.
        self.rule = rule


class InvalidQueryError(RAGControlError, ValueError):
    """The question is empty."""


class UnknownOrganizationError(RAGControlError, LookupError):
    """The policy file has no such organization."""


class EmbeddingError(RAGControlError):
    """The question did not become a vector."""


class RetrievalError(RAGControlError):
    """The store gave no documents."""


class GenerationError(RAGControlError):
    """The model gave no answer."""


class EnforcementError(RAGControlError):
    """The answer breaks the policy; ``rule`` says which part of it."""


class PolicyFileError(ValueError):
    """A mistake in the policy file."""

    def __init__(self, text: str, line: int, field: str, message: str) -> None:
        super().__init__(text)
        #: The line, from 1; 0 if it is the file as a whole.
        self.line = line
        #: The keys that lead to the field, such as ``policies.cited.generation.temperature``.
        self.field = field
        #: What is wrong with it.
        self.message = message
