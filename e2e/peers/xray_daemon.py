"""Stands in for AWS's X-Ray daemon: takes two datagrams as it does, puts the documents into X-Ray by
AWS's own client, and prints what X-Ray (moto's) then has of their trace. Runs in an environment of
its own, that of requirements.lock.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

import boto3
from moto import mock_aws

# The daemon's buffer for one datagram.
MAX_DATAGRAM_BYTES = 64 * 1024


def main() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(30)
        print(daemon.getsockname()[1], flush=True)
        documents = [document(daemon.recv(MAX_DATAGRAM_BYTES)) for _ in range(2)]
    # Nothing leaves the machine; the client wants credentials all the same.
    os.environ.update(AWS_ACCESS_KEY_ID="none", AWS_SECRET_ACCESS_KEY="none")
    with mock_aws():
        print(json.dumps(stored(documents)))


def document(datagram: bytes) -> str:
    """What comes after the header line."""
    header, _, text = datagram.partition(b"\n")
    if json.loads(header) != {"format": "json", "version": 1}:
        sys.exit(f"the daemon does not know this header: {header!r}")
    return text.decode()


def stored(documents: list[str]) -> list[Any]:
    """The documents of the trace, as X-Ray gives them back."""
    xray = boto3.client("xray", region_name="eu-central-1")
    answer = xray.put_trace_segments(TraceSegmentDocuments=documents)
    if answer["UnprocessedTraceSegments"]:
        sys.exit(f"refused: {answer['UnprocessedTraceSegments']}")
    trace_ids = list({json.loads(text)["trace_id"] for text in documents})
    traces = xray.batch_get_traces(TraceIds=trace_ids)["Traces"]
    return [json.loads(segment["Document"]) for trace in traces for segment in trace["Segments"]]


if __name__ == "__main__":
    main()
