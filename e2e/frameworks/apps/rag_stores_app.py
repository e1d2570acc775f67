"""Random filters over random documents: Qdrant and PostgreSQL with pgvector find what they have to."""

# pyright: reportMissingImports=false
from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from spanwise.rag_control import LocalVectorStore, matches

SEED = 5
N_FILTERS = 300
DIMENSIONS = 8
VALUES: list[Any] = ["red", "blue", "", 1, 2, 2.5, True, False]


def any_value(dice: random.Random) -> Any:
    lists: list[Any] = [[], ["red"], ["red", "blue"], [1, 2]]
    return dice.choice([*VALUES, None, *lists])


def any_documents(dice: random.Random) -> list[tuple[str, str, list[float], dict[str, Any]]]:
    def metadata() -> dict[str, Any]:
        return {field: any_value(dice) for field in ("color", "level", "tags") if dice.random() < 0.8}

    def vector() -> list[float]:
        return [dice.uniform(-1, 1) for _ in range(DIMENSIONS)]

    return [(f"d{at}", f"document {at}", vector(), metadata()) for at in range(120)]


def any_filter(dice: random.Random, depth: int = 0) -> dict[str, Any]:
    if depth < 3 and dice.random() < 0.4:
        word = dice.choice(["and", "or"])
        return {word: [any_filter(dice, depth + 1) for _ in range(dice.randint(1, 3))]}
    field, operator = (
        dice.choice(["color", "level", "tags", "gone"]),
        dice.choice(["equals", "in", "contains", "range"]),
    )
    value: Any = dice.choice(VALUES)
    if operator == "in":
        value = dice.sample(VALUES, dice.randint(1, 3))
    if operator == "range":
        low, high = dice.choice([(1, 2), (0, 1.5), ("a", "red"), ("b", "z")])
        value = dice.choice([{"min": low}, {"max": high}, {"min": low, "max": high}])
    return {"field": field, "operator": dice.choice([operator, f"not_{operator}"]), "value": value}


def check(store: Any, documents: list[Any], exactly: bool) -> int:
    """What must be found is found, best first; with `exactly`, nothing else is."""
    dice = random.Random(SEED)
    n_found = 0
    for _ in range(N_FILTERS):
        filter = any_filter(dice)
        wanted = [dice.uniform(-1, 1) for _ in range(DIMENSIONS)]
        allowed = {id for id, _, _, metadata in documents if matches(filter, metadata)}
        found = store.search(wanted, top_k=len(documents), filter=filter)
        ids = {document.id for document in found}
        assert allowed <= ids, (filter, allowed - ids)
        assert not exactly or allowed == ids, (filter, ids - allowed)
        assert all(document.metadata == dict(documents[int(document.id[1:])][3]) for document in found)
        scores = [document.score for document in found]
        assert scores == sorted(scores, reverse=True)
        n_found += len(allowed)
    return n_found


def qdrant(documents: list[Any]) -> int:
    from qdrant_client import QdrantClient, models

    from spanwise.rag_control.qdrant import QdrantStore

    client = QdrantClient(":memory:")
    vectors = models.VectorParams(size=DIMENSIONS, distance=models.Distance.COSINE)
    client.create_collection("handbook", vectors_config=vectors)
    points = [
        models.PointStruct(id=at, vector=vector, payload={"id": id, "content": content, **metadata})
        for at, (id, content, vector, metadata) in enumerate(documents)
    ]
    client.upsert("handbook", points)
    return check(QdrantStore(client, "handbook"), documents, exactly=False)


def pgvector(documents: list[Any], folder: str) -> int | None:
    try:
        import pgserver
    except ImportError:
        # It has no wheels for some versions of Python and some machines.
        return None
    import psycopg

    from spanwise.rag_control.pgvector import PgVectorStore

    server = pgserver.get_server(Path(folder) / "postgres", cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri()) as connection:
            connection.execute("create extension if not exists vector")
            connection.commit()
            store = PgVectorStore(connection, "handbook")
            store.create(DIMENSIONS)
            store.add_all(documents)
            store.add_all(documents[:3])
            return check(store, documents, exactly=True)
    finally:
        server.cleanup()


def local(documents: list[Any], folder: str) -> int:
    store = LocalVectorStore(Path(folder) / "handbook.vectors", DIMENSIONS)
    store.add_all(documents)
    return check(store, documents, exactly=True)


def main() -> None:
    documents = any_documents(random.Random(SEED))
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "local": local(documents, folder),
            "qdrant": qdrant(documents),
            "pgvector": pgvector(documents, folder),
        }
    print(json.dumps(found))


sys.exit(main())
