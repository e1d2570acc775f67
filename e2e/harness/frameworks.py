"""Programs with packages that the tests themselves have not, and traces as text."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.server import ROOT

EXAMPLES = ROOT / "examples/python"
# Further than this a text says nothing new about a trace.
WIDTH = 72


def environment(packages: str) -> Path:
    """The interpreter of the environment that a lock describes."""
    lock = ROOT / f"e2e/frameworks/{packages}.lock"
    made = subprocess.run([ROOT / "scripts/python-env", lock], check=True, text=True, stdout=subprocess.PIPE)
    return Path(made.stdout.strip()) / "bin/python"


class Program:
    """A Python program in the environment of a lock, with our package beside it."""

    def __init__(self, path: Path, packages: str) -> None:
        self.path = path
        self.python = environment(packages)

    def run(self, *arguments: str, **variables: str) -> str:
        """What it prints; it must succeed."""
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
            "PYTHONPATH": f"{os.environ['SPANWISE_PACKAGE']}{os.pathsep}{EXAMPLES}",
            **variables,
        }
        command = [self.python, self.path, *arguments]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        return ran.stdout.strip()


class Tree:
    """A trace as indented lines: spans with what they are, below model calls what was said.

    Siblings are in order of time; those that run at once in that of their text.
    """

    def __init__(self, trace: dict[str, Any]) -> None:
        self.children: dict[str | None, list[dict[str, Any]]] = {}
        for span in sorted(trace["spans"], key=start):
            self.children.setdefault(span["parent_span_id"], []).append(span)

    def __str__(self) -> str:
        return "".join(f"{line}\n" for text in self.below(None, 0) for line in text)

    def below(self, parent: str | None, depth: int) -> Iterator[list[str]]:
        at_once: list[list[str]] = []
        ended = 0
        for span in self.children.get(parent, []):
            if start(span) >= ended:
                yield from sorted(at_once)
                at_once = []
            ended = max(ended, start(span) + int(span["duration_ns"]))
            at_once.append(self.lines(span, depth))
        yield from sorted(at_once)

    def lines(self, span: dict[str, Any], depth: int) -> list[str]:
        indent = "  " * depth
        own = [indent + label(span), *(f"{indent}    {said}" for said in messages(span))]
        return own + [line for text in self.below(span["span_id"], depth + 1) for line in text]


def check_trees(traces: Iterable[dict[str, Any]], golden: Path) -> None:
    """Compares with what is written down; `UPDATE_GOLDEN=1` writes it down."""
    seen = "\n".join(str(Tree(trace)) for trace in traces)
    if "UPDATE_GOLDEN" in os.environ:
        golden.write_text(seen)
    assert seen == golden.read_text()


def start(span: dict[str, Any]) -> int:
    return int(span["start_time_unix_nano"])


def label(span: dict[str, Any]) -> str:
    llm = span.get("llm") or {}
    usage = llm.get("usage") or {}
    agent = (llm.get("agent") or {}).get("name")
    attributes = span["attributes"]
    words = [
        span["name"],
        f"[{llm.get('operation') or span['kind']}]",
        attributes.get("llm.model"),
        f"temperature={attributes['llm.temperature']}" if "llm.temperature" in attributes else None,
        f"{usage['input']}→{usage['output'] or 0}" if usage.get("input") is not None else None,
        f"${llm['cost_usd']:.6f}" if llm.get("cost_usd") is not None else None,
        f"agent={agent}" if agent else None,
        f"framework={attributes['framework.name']}" if "framework.name" in attributes else None,
        f"conversation={attributes['conversation.id']}" if "conversation.id" in attributes else None,
        "error" if span["status"]["code"] == "error" else None,
    ]
    return " ".join(word for word in words if word)


def messages(span: dict[str, Any]) -> Iterator[str]:
    llm = span.get("llm") or {}
    if llm.get("operation") not in ("chat", "completion"):
        return
    for arrow, side in ((">", "input_messages"), ("<", "output_messages")):
        for message in llm[side]:
            for part in message["parts"]:
                yield shortened(f"{arrow} {message['role']}: {said_in(part)}")


def said_in(part: dict[str, Any]) -> str:
    if part["type"] == "tool_call":
        return f"{part.get('name')}({part.get('arguments')})"
    if part["type"] == "tool_result":
        return f"{part.get('result')}"
    return str(part.get("content"))


def shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
