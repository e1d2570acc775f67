"""RAG control: questions answered from documents, under a policy, with every step on record.

rag = RAGControl(llm=llm, query_embedding=embedding, vector_store=store, config_path="policies.yaml")
answer = rag.run("How many days off do I have?", UserContext(user_id="u-17", org_id="meridian"))
"""

from spanwise.rag_control._engine import AnswerStream, AsyncAnswerStream, RAGControl
from spanwise.rag_control._errors import (
    EmbeddingError,
    EnforcementError,
    GenerationError,
    InvalidQueryError,
    PolicyFileError,
    RAGControlError,
    RetrievalError,
    UnknownOrganizationError,
)
from spanwise.rag_control._openai import OpenAICompatibleEmbedding, OpenAICompatibleLLM
from spanwise.rag_control._store import LocalVectorStore
from spanwise.rag_control._tracers import NoOpTracer, OpenTelemetryTracer, SpanRecord, StructlogTracer
from spanwise.rag_control._types import (
    LLM,
    Answer,
    Document,
    Filter,
    Generation,
    Message,
    Piece,
    QueryEmbedding,
    Usage,
    UserContext,
    VectorStore,
    matches,
)

__all__ = [
    "LLM",
    "Answer",
    "AnswerStream",
    "AsyncAnswerStream",
    "Document",
    "EmbeddingError",
    "EnforcementError",
    "Filter",
    "Generation",
    "GenerationError",
    "InvalidQueryError",
    "LocalVectorStore",
    "Message",
    "NoOpTracer",
    "OpenAICompatibleEmbedding",
    "OpenAICompatibleLLM",
    "OpenTelemetryTracer",
    "Piece",
    "PolicyFileError",
    "QueryEmbedding",
    "RAGControl",
    "RAGControlError",
    "RetrievalError",
    "SpanRecord",
    "StructlogTracer",
    "UnknownOrganizationError",
    "Usage",
    "UserContext",
    "VectorStore",
    "matches",
]
