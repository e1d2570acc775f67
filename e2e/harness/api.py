"""The query API, as the tests ask it."""

from __future__ import annotations

from typing import Any

import httpx


class Api:
    """A client of one server; every answer that is not asked to fail must be a success."""

    def __init__(self, base: str, project: str | None = None, key: str | None = None) -> None:
        headers: dict[str, str] = {}
        if project:
            headers["spanwise-project"] = project
        if key:
            headers["authorization"] = f"Bearer {key}"
        self.base = base
        self.headers = headers

    def raw(self, path: str, **parameters: Any) -> httpx.Response:
        """The answer, whatever it is."""
        return httpx.get(f"{self.base}{path}", params=parameters, headers=self.headers, timeout=60)

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON of a successful answer."""
        response = self.raw(f"/api/v1{path}", **parameters)
        assert response.status_code == 200, f"{response.url}: {response.status_code} {response.text[:500]}"
        return response.json()

    def trace(self, trace_id: str) -> dict[str, Any]:
        """A trace with its spans."""
        return self.get(f"/traces/{trace_id}")

    def trace_otlp(self, trace_id: str) -> dict[str, Any]:
        """A trace as OTLP JSON."""
        return self.get(f"/traces/{trace_id}", format="otlp")

    def has_trace(self, trace_id: str) -> bool:
        """Whether the server knows the trace."""
        return self.raw(f"/api/v1/traces/{trace_id}").status_code == 200

    def traces(self, q: str = "", **parameters: Any) -> list[dict[str, Any]]:
        """One page of trace summaries."""
        return self.get("/traces", q=q, **parameters)["traces"]

    def span_count(self) -> int:
        """How many spans the store holds, by its own count."""
        series = self.get("/stats", measure="count")["series"]
        return int(sum(point["count"] or 0 for group in series for point in group["points"]))
