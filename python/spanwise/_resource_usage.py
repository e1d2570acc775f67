"""What a call took of the machine."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry import trace

F = TypeVar("F", bound=Callable[..., Any])


def track_resource_usage(function: F) -> F:
    """Sets what the process used while the function ran on the span that is current then.

    Memory, processor time, disk and network, of the whole process: other threads count too.
    """
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def measure_async(*args: Any, **kwargs: Any) -> Any:
            before = usage()
            try:
                return await function(*args, **kwargs)
            finally:
                record(before)

        return measure_async  # pyright: ignore[reportReturnType]

    @functools.wraps(function)
    def measure(*args: Any, **kwargs: Any) -> Any:
        before = usage()
        try:
            return function(*args, **kwargs)
        finally:
            record(before)

    return measure  # pyright: ignore[reportReturnType]


def record(before: dict[str, float] | None) -> None:
    span = trace.get_current_span()
    if before is None or not span.is_recording() or (after := usage()) is None:
        return
    seconds = max(after["seconds"] - before["seconds"], 1e-9)
    attributes: dict[str, float] = {"process.memory.usage_bytes": int(after["memory"])}
    for name, key in (
        ("process.memory.growth_bytes", "memory"),
        ("process.disk.read_bytes", "read"),
        ("process.disk.write_bytes", "write"),
        ("process.network.receive_bytes", "receive"),
        ("process.network.transmit_bytes", "transmit"),
    ):
        if key in before and key in after:
            attributes[name] = int(after[key] - before[key])
    cpu = after["cpu"] - before["cpu"]
    attributes["process.cpu.time_seconds"] = cpu
    attributes["process.cpu.utilization_percent"] = 100.0 * cpu / seconds
    span.set_attributes(attributes)


def usage() -> dict[str, float] | None:
    """What the process has used so far, as far as the system tells. Only looked up when it is recorded."""
    if not trace.get_current_span().is_recording():
        return None
    used: dict[str, float] = {"seconds": time.monotonic(), "cpu": time.process_time(), "memory": 0.0}
    for add in (add_memory, add_disk, add_network):
        try:
            add(used)
        except (OSError, ValueError, ImportError, IndexError):
            continue
    return used


def add_memory(used: dict[str, float]) -> None:
    import resource

    statm = Path("/proc/self/statm")
    if statm.exists():
        used["memory"] = int(statm.read_text().split()[1]) * resource.getpagesize()
    else:
        # The most that it ever was, in bytes on macOS.
        used["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def add_disk(used: dict[str, float]) -> None:
    for line in Path("/proc/self/io").read_text().splitlines():
        name, _, count = line.partition(": ")
        if name in ("read_bytes", "write_bytes"):
            used[name.removesuffix("_bytes")] = int(count)


def add_network(used: dict[str, float]) -> None:
    received = sent = 0
    for line in Path("/proc/self/net/dev").read_text().splitlines()[2:]:
        fields = line.partition(":")[2].split()
        received, sent = received + int(fields[0]), sent + int(fields[8])
    used["receive"], used["transmit"] = received, sent
