"""A process that is told to end by SIGTERM delivers its spans before it does."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger("spanwise.tracing")

# How long the end of the process waits for spans to leave.
SECONDS = 5.0


class Sigterm:
    """Handles the signal where nobody else does: who does decides how the process ends."""

    def __init__(self, deliver: Callable[[float], object]) -> None:
        self.deliver = deliver
        self.is_installed = False

    def install(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            logger.debug("not started by the main thread: SIGTERM is not handled")
            return
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self.handle)
            self.is_installed = True

    def remove(self) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if self.is_installed and is_main and signal.getsignal(signal.SIGTERM) == self.handle:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.is_installed = False

    def handle(self, number: int, frame: Any) -> None:
        del frame
        # Who replaced this handler and calls it as the one before goes on to end the process itself.
        is_last = signal.getsignal(number) == self.handle
        try:
            # The signal may have interrupted one who holds a lock that delivering takes.
            thread = threading.Thread(target=self.deliver, args=(SECONDS,), daemon=True)
            thread.start()
            thread.join(SECONDS)
        except Exception:
            logger.debug("spans were not delivered at SIGTERM", exc_info=True)
        if is_last:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
