"""Documents in PostgreSQL with pgvector, by psycopg: ``pip install 'spanwise[pgvector]'``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy  # pyright: ignore[reportMissingImports]
from pgvector.psycopg import register_vector  # pyright: ignore[reportMissingImports]
from psycopg import Connection, sql  # pyright: ignore[reportMissingImports]
from psycopg.types.json import Jsonb  # pyright: ignore[reportMissingImports]

from spanwise.rag_control._types import Document, Filter

if TYPE_CHECKING:
    from typing_extensions import LiteralString

# A condition, and what stands in its places.
Parts = tuple[sql.Composable, list[Any]]


class PgVectorStore:
    """A table with columns ``id``, ``content``, ``metadata`` (jsonb) and ``embedding`` (vector).

    A connection serves one search at a time; give each thread a store of its own.
    """

    def __init__(self, connection: Connection[Any], table: str) -> None:
        register_vector(connection)
        self.connection = connection
        self.name = table
        self._table = sql.Identifier(*table.split("."))

    def create(self, dimensions: int) -> None:
        """Creates the table, unless it is there."""
        statement = sql.SQL(
            "create table if not exists {} (id text primary key, content text not null, "
            "metadata jsonb not null default '{{}}', embedding vector({}) not null)"
        )
        with self.connection.transaction():
            self.connection.execute(statement.format(self._table, sql.Literal(dimensions)))

    def add_all(self, documents: Iterable[tuple[str, str, Iterable[float], dict[str, Any]]]) -> None:
        """Adds documents: id, content, vector and metadata of each."""
        statement = sql.SQL(
            "insert into {} (id, content, embedding, metadata) values (%s, %s, %s, %s) on conflict (id) do update "
            "set content = excluded.content, embedding = excluded.embedding, metadata = excluded.metadata"
        ).format(self._table)
        rows = [(id, content, array(vector), Jsonb(metadata)) for id, content, vector, metadata in documents]
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.executemany(statement, rows)

    def search(self, vector: Iterable[float], *, top_k: int, filter: Filter | None = None) -> list[Document]:
        wanted = array(vector)
        where, arguments = (sql.SQL("true"), []) if filter is None else condition(filter)
        statement = sql.SQL(
            "select id, content, 1 - (embedding <=> %s), metadata from {} where {} order by embedding <=> %s limit %s"
        ).format(self._table, where)
        with self.connection.transaction():
            rows = self.connection.execute(statement, [wanted, *arguments, wanted, top_k]).fetchall()
        return [Document(id, content, float(score), metadata) for id, content, score, metadata in rows]


def array(vector: Iterable[float]) -> Any:
    return numpy.fromiter(vector, dtype=numpy.float32)


def condition(filter: Filter) -> Parts:
    """The filter as SQL. Values of other types than they are compared with are not found."""
    if "and" in filter:
        return joined(sql.SQL(" and "), [condition(one) for one in filter["and"]], "true")
    if "or" in filter:
        return joined(sql.SQL(" or "), [condition(one) for one in filter["or"]], "false")
    return field_condition(filter["field"], filter["operator"], filter["value"])


def joined(word: sql.SQL, parts: list[Parts], nothing: LiteralString) -> Parts:
    if not parts:
        return sql.SQL(nothing), []
    return sql.SQL("({})").format(word.join(part for part, _ in parts)), together(parts)


def field_condition(field: str, operator: str, value: Any) -> Parts:
    positive = operator.removeprefix("not_")
    test, arguments = {"equals": equals, "in": is_in, "contains": contains, "range": within}[positive](field, value)
    if operator.startswith("not_"):
        return sql.SQL("not coalesce({}, true)").format(test), arguments
    return sql.SQL("coalesce({}, false)").format(test), arguments


def compare(field: str, sign: LiteralString, value: Any) -> Parts:
    """Nothing, where the types differ."""
    kind = json_type(value)
    if kind == "string":
        # Letter by letter, as everywhere else, whatever the database's language.
        template = 'case when jsonb_typeof(metadata -> %s) = %s then (metadata ->> %s) collate "C" {} %s end'
        return sql.SQL(template).format(sql.SQL(sign)), [field, kind, field, value]
    template = "case when jsonb_typeof(metadata -> %s) = %s then metadata -> %s {} %s end"
    return sql.SQL(template).format(sql.SQL(sign)), [field, kind, field, Jsonb(value)]


def json_type(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "boolean"
    return "array" if isinstance(value, list) else "number"


def equals(field: str, value: Any) -> Parts:
    return compare(field, "=", value)


def is_in(field: str, value: Any) -> Parts:
    tests = [equals(field, one) for one in value]
    if not tests:
        return sql.SQL("case when jsonb_exists(metadata, %s) then false end"), [field]
    # Values of other types say nothing; the others decide.
    answers = sql.SQL(", ").join(test for test, _ in tests)
    statement = sql.SQL("(select bool_or(answer) from unnest(array[{}]) as answer)").format(answers)
    return statement, together(tests)


def contains(field: str, value: Any) -> Parts:
    statement = sql.SQL("case when jsonb_typeof(metadata -> %s) = 'array' then metadata -> %s @> %s end")
    return statement, [field, field, Jsonb([value])]


def within(field: str, value: dict[str, Any]) -> Parts:
    tests: list[Parts] = []
    if "min" in value:
        tests.append(compare(field, ">=", value["min"]))
    if "max" in value:
        tests.append(compare(field, "<=", value["max"]))
    return sql.SQL("({})").format(sql.SQL(" and ").join(test for test, _ in tests)), together(tests)


def together(tests: list[Parts]) -> list[Any]:
    return [argument for _, arguments in tests for argument in arguments]
