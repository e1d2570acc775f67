"""OpenTelemetry's samplers as the core knows them."""

from __future__ import annotations

import logging
import os
import random
from typing import Any

logger = logging.getLogger("spanwise.tracing")

SDK = "opentelemetry.sdk.trace.sampling"


def describe_sampler(sampler: Any) -> tuple[str, float, Any]:
    """Who decides, the rate, and the sampler where it has to be asked in Python."""
    if sampler is None:
        return from_environment()
    kind = type(sampler)
    if kind.__module__ != SDK:
        return "python", 1.0, sampler
    # Only the very classes of the SDK: what is derived from them may decide otherwise.
    if kind.__name__ == "StaticSampler":
        return static(sampler)
    if kind.__name__ == "TraceIdRatioBased":
        return "ratio", float(sampler.rate), sampler
    if kind.__name__ in ("ParentBased", "ParentBasedTraceIdRatio") and has_usual_children(sampler):
        decide, rate, _ = describe_sampler(sampler._root)
        rates = {"always_on": 1.0, "always_off": 0.0, "ratio": rate}
        if decide in rates:
            return "recorder", rates[decide], sampler
    return "python", 1.0, sampler


def static(sampler: Any) -> tuple[str, float, Any]:
    decisions = {"RECORD_AND_SAMPLE": "always_on", "DROP": "always_off"}
    known = decisions.get(getattr(sampler._decision, "name", ""))
    return (known, 1.0, sampler) if known else ("python", 1.0, sampler)


def has_usual_children(sampler: Any) -> bool:
    """Whether everything below a span shares its fate."""
    usual = {
        "_remote_parent_sampled": "always_on",
        "_remote_parent_not_sampled": "always_off",
        "_local_parent_sampled": "always_on",
        "_local_parent_not_sampled": "always_off",
    }
    return all(describe_sampler(getattr(sampler, name, None))[0] == expected for name, expected in usual.items())


def from_environment() -> tuple[str, float, Any]:
    """``OTEL_TRACES_SAMPLER``; what it does not understand is said and not obeyed."""
    name = os.environ.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").strip().lower()
    rate = 1.0
    if name.endswith("traceidratio"):
        text = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
        try:
            rate = float(text or "1")
        except ValueError:
            logger.warning("OTEL_TRACES_SAMPLER_ARG has to be a number from 0 to 1, not %r", text)
    match name:
        case "always_on" | "always_off":
            return name, 1.0, None
        case "traceidratio":
            return "ratio", min(max(rate, 0.0), 1.0), None
        case "parentbased_always_off":
            return "recorder", 0.0, None
        case "parentbased_always_on" | "parentbased_traceidratio":
            return "recorder", min(max(rate, 0.0), 1.0), None
        case _:
            return from_entry_point(name)


def from_entry_point(name: str) -> tuple[str, float, Any]:
    from importlib.metadata import entry_points

    try:
        (entry,) = entry_points(group="opentelemetry_traces_sampler", name=name)
        return describe_sampler(entry.load()(os.environ.get("OTEL_TRACES_SAMPLER_ARG")))
    except Exception:
        logger.warning("OTEL_TRACES_SAMPLER=%s is not known; every trace is recorded", name)
        return "recorder", 1.0, None


def default_sampler() -> Any:
    """The sampler object that stands for what the environment says, for those who ask for it."""
    try:
        from opentelemetry.sdk.trace import sampling
    except ImportError:
        return None
    decide, rate, sampler = from_environment()
    if sampler is not None:
        return sampler
    match decide:
        case "always_on":
            return sampling.ALWAYS_ON
        case "always_off":
            return sampling.ALWAYS_OFF
        case "ratio":
            return sampling.TraceIdRatioBased(rate)
        case _ if rate == 1.0:
            return sampling.DEFAULT_ON
        case _ if rate == 0.0:
            return sampling.DEFAULT_OFF
        case _:
            return sampling.ParentBasedTraceIdRatio(rate)


class RandomIds:
    """What the core does itself, for those who ask a provider for its ``id_generator``."""

    def generate_span_id(self) -> int:
        return random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        return random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        return True
