"""Documents in Qdrant, by its own client: ``pip install 'spanwise[qdrant]'``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from qdrant_client import QdrantClient, models  # pyright: ignore[reportMissingImports]

from spanwise.rag_control._types import Document, Filter

# What `models.Condition` is; it is a union, which no variable can stand for.
Condition = Any


class QdrantStore:
    """A collection whose points have the document's text and metadata as their payload.

    The text is the payload's ``content_key``; everything else in it is metadata, of which
    ``id_key``, if it is there, names the document in place of the point's own id.
    """

    def __init__(
        self,
        client: QdrantClient,
        collection: str,
        *,
        content_key: str = "content",
        id_key: str = "id",
        using: str | None = None,
    ) -> None:
        self.client = client
        self.name = collection
        self.content_key = content_key
        self.id_key = id_key
        self.using = using

    def search(self, vector: Iterable[float], *, top_k: int, filter: Filter | None = None) -> list[Document]:
        found = self.client.query_points(
            self.name,
            query=[float(number) for number in vector],
            query_filter=None if filter is None else models.Filter(must=[condition(filter)]),
            limit=top_k,
            using=self.using,
            with_payload=True,
        )
        return [self._document(point) for point in found.points]

    def _document(self, point: models.ScoredPoint) -> Document:
        metadata: dict[str, Any] = dict(point.payload or {})
        content = str(metadata.pop(self.content_key, ""))
        return Document(str(metadata.pop(self.id_key, point.id)), content, point.score, metadata)


def condition(filter: Filter) -> Condition:
    """The filter in Qdrant's words. Where Qdrant cannot say something, it says less, and the engine
    does the rest: every part keeps at least the documents that it has to keep."""
    if "and" in filter:
        return models.Filter(must=[condition(one) for one in filter["and"]])
    if "or" in filter:
        return models.Filter(should=[condition(one) for one in filter["or"]])
    return field_condition(filter["field"], filter["operator"], filter["value"])


def field_condition(field: str, operator: str, value: Any) -> Condition:
    present = models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=field))])
    positive = operator.removeprefix("not_")
    asked: Condition | None = None
    if positive in ("equals", "contains"):
        asked = equal(field, value)
    elif positive == "in":
        alternatives = [equal(field, one) for one in value]
        asked = None if None in alternatives else models.Filter(should=[one for one in alternatives if one])
    elif is_numeric(value):
        asked = models.FieldCondition(key=field, range=models.Range(gte=value.get("min"), lte=value.get("max")))
    if asked is None:
        return present
    if operator == "not_contains":
        # Empty lists pass it, and count as absent here.
        return models.Filter()
    if operator.startswith("not_"):
        # Lists match by any of their items here, which "not" would turn into too little.
        return present
    return models.Filter(must=[present, asked])


def equal(field: str, value: Any) -> Condition | None:
    if isinstance(value, (bool, int, str)):
        return models.FieldCondition(key=field, match=models.MatchValue(value=value))
    if isinstance(value, float):
        return models.FieldCondition(key=field, range=models.Range(gte=value, lte=value))
    return None


def is_numeric(bounds: dict[str, Any]) -> bool:
    return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in bounds.values())
