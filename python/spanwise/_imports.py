"""Being told when a module has been imported, so that what nobody uses is never loaded for tracing."""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from typing import Any

logger = logging.getLogger("spanwise.tracing")


class Due(threading.local):
    """Callbacks of one thread. One that imports what others wait for is let finish first."""

    def __init__(self) -> None:
        self.callbacks: list[Callable[[], object]] = []

    def run(self, callback: Callable[[], object]) -> None:
        self.callbacks.append(callback)
        if len(self.callbacks) > 1:
            return
        try:
            for due in self.callbacks:
                due()
        finally:
            self.callbacks.clear()


class AfterImport:
    """A finder that finds nothing itself: it has the loader that another one finds call back."""

    def __init__(self) -> None:
        self.waiting: dict[str, Callable[[], object]] = {}
        self.due = Due()

    def call(self, module: str, callback: Callable[[], object]) -> None:
        """Calls back once the module is imported: now, if it is already."""
        if module in sys.modules:
            callback()
            return
        self.waiting[module] = callback
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)  # pyright: ignore[reportArgumentType]

    def forget(self) -> None:
        """Calls nobody any more."""
        self.waiting.clear()
        if self in sys.meta_path:
            sys.meta_path.remove(self)  # pyright: ignore[reportArgumentType]

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        callback = self.waiting.pop(name, None)
        if callback is None:
            return None
        spec = importlib.util.find_spec(name)
        if spec is None:
            # A module that is not there may be there later.
            self.waiting[name] = callback
        else:
            self.call_after_execution(spec.loader, callback)
        return spec

    def call_after_execution(self, loader: Any, callback: Callable[[], object]) -> None:
        execute = getattr(loader, "exec_module", None)

        def execute_and_call(module: Any) -> None:
            del loader.exec_module
            execute(module)  # pyright: ignore[reportOptionalCall]
            self.due.run(callback)

        try:
            loader.exec_module = execute_and_call
        except (AttributeError, TypeError):
            logger.debug("the loader %r tells nobody what it loads", loader)
