"""Changes to other people's classes, and their undoing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Changes:
    """What was changed, in order."""

    def __init__(self) -> None:
        self.undoings: list[Callable[[], object]] = []

    def replace(self, owner: Any, name: str, wrap: Callable[[Any], Any]) -> None:
        """Puts what `wrap` makes of an attribute in its place, if the owner has it itself."""
        original = vars(owner).get(name)
        if original is not None:
            setattr(owner, name, wrap(original))
            self.undoings.append(lambda: setattr(owner, name, original))

    def undo(self) -> None:
        for undo in reversed(self.undoings):
            undo()
        self.undoings.clear()
