"""What runs: the tracer of the decorators, and the instance that `init` made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import trace

if TYPE_CHECKING:
    from spanwise import _core
    from spanwise._init import Spanwise


class State:
    """One per process. ``tracer`` is read by every decorated call."""

    def __init__(self) -> None:
        self.tracer: _core.Tracer | None = None
        self.running: Spanwise | None = None
        self._provider: Any = None

    def resolve(self) -> _core.Tracer | None:
        """The tracer of `init`, else that of OpenTelemetry's provider if that one is ours."""
        if self.tracer is not None:
            return self.tracer
        from spanwise.opentelemetry import TracerProvider

        provider = trace._TRACER_PROVIDER
        if isinstance(provider, TracerProvider) and not provider._disabled:
            return provider.get_tracer("spanwise")  # pyright: ignore[reportReturnType]
        return None


STATE = State()
