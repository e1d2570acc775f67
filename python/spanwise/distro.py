"""``opentelemetry-instrument`` with our provider: a distro and a configurator."""

from __future__ import annotations

import logging
import os
from typing import Any

# Only opentelemetry-instrument loads this module, and that has what is imported here.
from opentelemetry.instrumentation.distro import BaseDistro

logger = logging.getLogger("spanwise.tracing")


class Distro(BaseDistro):
    """Has nothing to prepare."""

    def _configure(self, **kwargs: Any) -> None:
        os.environ.setdefault("OTEL_PYTHON_CONFIGURATOR", "spanwise")


class Configurator:
    """Makes our provider OpenTelemetry's, by its variables and ours; metrics and logs stay as they are."""

    def configure(self, **kwargs: Any) -> None:
        from spanwise import Spanwise

        # What is installed is instrumented by opentelemetry-instrument itself.
        Spanwise.init(instrument=False)
