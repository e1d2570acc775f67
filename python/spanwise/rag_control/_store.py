"""The embedded store: documents and vectors in one file, compared one by one, without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from spanwise import _core
from spanwise.rag_control._types import Document, Filter


class LocalVectorStore:
    """Documents in a file, for one process at a time. Searches are exact, by cosine; up to some
    hundred thousand documents they take milliseconds. Changes are on the disk when they return."""

    def __init__(self, path: str | PathLike[str], dimensions: int, *, name: str | None = None) -> None:
        self._core = _core.RagStore(path, dimensions, name)
        self.dimensions = dimensions

    @property
    def name(self) -> str:
        return self._core.name

    def add(self, id: str, content: str, vector: Iterable[float], metadata: Mapping[str, Any] | None = None) -> None:
        """Adds a document, or puts it in place of the one with its id."""
        self.add_all([(id, content, vector, metadata)])

    def add_all(self, documents: Iterable[tuple[str, str, Iterable[float], Mapping[str, Any] | None]]) -> None:
        """Adds documents: id, content, vector and metadata of each."""
        self._core.add_all([(id, content, metadata or {}, vector) for id, content, vector, metadata in documents])

    def remove(self, id: str) -> bool:
        """Removes a document; ``False`` if there is none of that id."""
        return self._core.remove(id)

    def __len__(self) -> int:
        return len(self._core)

    def search(self, vector: Iterable[float], *, top_k: int, filter: Filter | None = None) -> list[Document]:
        return [Document(**fields) for fields in self._core.search(vector, top_k, filter)]
