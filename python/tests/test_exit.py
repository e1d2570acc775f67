"""What ends before a process does is delivered, however that ends."""

from __future__ import annotations

import signal
import threading

import pytest

from conftest import Sink, run_program
from spanwise import Spanwise, workflow

PROGRAM = """
import os, signal, sys
from spanwise import Spanwise, task

def sink(request):
    os.write(1, b"delivered\\n")

{before}
Spanwise.init("test", trace_exporter="none", exporter=sink, instrument=False{options})

@task
def work():
    pass

work()
{after}
os.kill(os.getpid(), signal.SIGTERM)
print("survived", flush=True)
os._exit(3)
"""
CHAINED = """
ours = signal.getsignal(signal.SIGTERM)
signal.signal(signal.SIGTERM, lambda *arguments: (ours(*arguments), print("theirs", flush=True)))
"""
THEIRS = 'signal.signal(signal.SIGTERM, lambda *_: print("theirs", flush=True))'


@pytest.mark.parametrize(
    ("before", "options", "after", "code", "said"),
    [
        pytest.param("", "", "", -signal.SIGTERM, ["delivered"], id="nobody else handles it"),
        pytest.param("", ", flush_on_sigterm=False", "", -signal.SIGTERM, [], id="switched off"),
        pytest.param(THEIRS, "", "", 3, ["theirs", "survived"], id="somebody handled it before"),
        pytest.param("", "", CHAINED, 3, ["delivered", "theirs", "survived"], id="somebody calls the one before"),
    ],
)
def test_sigterm_delivers_first(before: str, options: str, after: str, code: int, said: list[str]) -> None:
    ran = run_program(PROGRAM.format(before=before, options=options, after=after), code)
    assert ran.stdout.split() == said


def test_the_handler_goes_with_the_instance() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Spanwise.init("test", trace_exporter="none", instrument=False):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_started_elsewhere_than_in_the_main_thread_nothing_is_handled() -> None:
    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: Spanwise.init("test", trace_exporter="none", instrument=False))
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == before
    Spanwise.init().shutdown()


def test_where_processes_are_frozen_each_trace_is_delivered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "handler")
    sink = Sink()

    @workflow
    def inner() -> None:
        assert not sink.requests

    @workflow
    def handler() -> None:
        inner()
        assert not sink.requests

    with Spanwise.init("test", trace_exporter="none", exporter=sink, instrument=False):
        handler()
        assert {span.name for span in sink.spans} == {"workflow.inner", "workflow.handler"}
