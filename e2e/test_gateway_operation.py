"""Operating the gateway: within the server, its keys, its files, its memory of what was used.

The numbers are those of the list of faults that a gateway survives.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from harness.gateway import Gateway, running_gateway
from harness.openai_mock import MockModel, Request
from harness.server import Server, binary

MakeServer = Callable[..., Server]
IMMEDIATELY = 1.0


class Model:
    """A model that answers when it may."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.asked = threading.Event()
        self.mock = MockModel(self.answer)

    def answer(self, _: Request) -> str:
        self.asked.set()
        self.may_answer.wait(30)
        return "It rains in Oslo."


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model()
    with made.mock:
        yield made
        made.may_answer.set()


def config(model: Model, **more: Any) -> dict[str, Any]:
    return {
        "listeners": [{"name": "models", "port": 0}],
        "model_providers": [{"model": "openai/gpt-4o-mini", "base_url": model.mock.openai_url}],
        **more,
    }


def ask(url: str, key: str = "none", model: str = "openai/gpt-4o-mini", **headers: str) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "How is the weather?"}]}
    headers = {"authorization": f"Bearer {key}", **headers}
    return httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def soon(holds: Callable[[], bool], within: float = 20.0) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return False


def run(*words: str | Path, code: int = 0) -> str:
    """Runs a command of the binary; what it says on the way that its exit code calls for."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("SPANWISE_")}
    done = subprocess.run([binary(), *words], capture_output=True, text=True, env=env, timeout=30)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


# Within the server.


@pytest.fixture
def embedded(make_server: MakeServer, model: Model) -> Server:
    server = make_server(config={"gateway": config(model)})
    server.start()
    return server


def test_the_server_has_a_gateway_whose_spans_are_in_its_store(embedded: Server) -> None:
    answer = ask(embedded.addresses["models"])
    assert answer.status_code == 200, answer.text
    trace_id = answer.headers["traceresponse"].split("-")[1]
    assert soon(lambda: embedded.api.has_trace(trace_id))
    trace = embedded.api.trace(trace_id)
    assert {span["name"] for span in trace["spans"]} == {"POST /v1/chat/completions", "chat gpt-4o-mini", "POST"}
    assert trace["output_tokens"] > 0


def test_the_last_spans_are_stored_when_the_server_stops(embedded: Server, model: Model) -> None:
    url = embedded.addresses["models"]
    answers = [ask(url).headers["traceresponse"].split("-")[1] for _ in range(20)]
    # One is still under way when the server is asked to stop.
    model.asked.clear()
    model.may_answer.clear()
    late: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: late.append(ask(url)))
    thread.start()
    assert model.asked.wait(10)
    threading.Timer(0.5, model.may_answer.set).start()
    started = time.monotonic()
    assert embedded.stop() == 0
    assert time.monotonic() - started < 10
    thread.join()
    assert late[0].status_code == 200
    embedded.start()
    for trace_id in [*answers, late[0].headers["traceresponse"].split("-")[1]]:
        assert len(embedded.api.trace(trace_id)["spans"]) == 3


def test_a_stop_does_not_wait_for_a_model_that_does_not_answer(embedded: Server, model: Model) -> None:
    model.asked.clear()
    model.may_answer.clear()
    url = embedded.addresses["models"]

    def lost() -> None:
        with pytest.raises(httpx.HTTPError):
            ask(url, traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    thread = threading.Thread(target=lost)
    thread.start()
    assert model.asked.wait(10)
    started = time.monotonic()
    assert embedded.stop() == 0
    assert time.monotonic() - started < 10
    model.may_answer.set()
    thread.join()


def test_the_servers_gateway_follows_its_section(embedded: Server, model: Model) -> None:
    url = embedded.addresses["models"]
    assert ask(url, model="careful").status_code == 404
    changed = config(model, routes=[{"model": "careful", "targets": ["openai/gpt-4o-mini"]}])
    embedded.config_path.write_text(json.dumps({"gateway": changed}))
    assert soon(lambda: ask(url, model="careful").status_code == 200)
    embedded.config_path.write_text(json.dumps({"listen": 7}))
    time.sleep(IMMEDIATELY)
    assert ask(url, model="careful").status_code == 200


def test_a_servers_gateway_with_a_mistake_does_not_start(make_server: MakeServer, tmp_path: Path, model: Model) -> None:
    wrong = config(model)
    wrong["model_providers"].append({"model": "acme/x"})
    path = tmp_path / "spanwise.yaml"
    path.write_text(json.dumps({"gateway": wrong}, indent=1))
    for command in ("check", "serve"):
        said = run(command, "--config", path, "--data-dir", tmp_path / "data", code=64)
        assert "`acme` is not known" in said
        assert " at line " in said


# Checking.


def test_check_takes_the_files_of_gateways_and_names_mistakes_with_their_lines(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "any.yaml"
    path.write_text(json.dumps(config(model)))
    said = run("check", "--config", path)
    assert said.startswith("configuration ok\n")
    assert "model openai/gpt-4o-mini: gpt-4o-mini at " in said
    path.write_text(json.dumps({"listen": "127.0.0.1:1", "gateway": config(model)}))
    said = run("check", "--config", path)
    assert "listen: 127.0.0.1:1" in said
    assert "model openai/gpt-4o-mini" in said
    for text, field, line in [
        ("listeners:\n- {name: m, port: 0}\nlimits:\n  max_hopps: 3\n", "limits.max_hopps", 4),
        ("listeners:\n- {name: m, port: many}\n", "listeners[0].port", 2),
        ("listeners:\n- {name: m, port: 0}\ncache: {ttl: soon}\n", "cache.ttl", 3),
        ("listeners:\n- {name: m, port: 0}\nmodel_providers:\n- {model: openai/x, access_key: $NO}\n", "access_key", 4),
        ("gateway:\n  listeners:\n  - {name: m, port: 0}\n  timeouts: {totl: 1s}\n", "gateway.timeouts.totl", 4),
        ("model_providers: []\n", "listeners", 1),
    ]:
        path.write_text(text)
        said = run("check", "--config", path, code=64)
        assert field in said
        assert f"line {line}" in said, said


# Keys.


@pytest.fixture
def keyed(tmp_path: Path, model: Model) -> Iterator[Gateway]:
    keys = tmp_path / "keys.yaml"
    keys.write_text("# Whose they are is in the wiki.\nkeys:\n")
    more = {"keys": {"file": str(keys)}, "tracing": {"exporters": [{"kind": "none"}]}}
    with running_gateway(tmp_path, config(model, **more)) as gateway:
        yield gateway


def keys(gateway: Gateway, *words: str) -> str:
    return run("gateway", "keys", *words, "--config", gateway.config)


def test_fault_44_a_revoked_key_finishes_what_it_began_and_is_refused_within_a_second(
    keyed: Gateway, model: Model
) -> None:
    key = keys(keyed, "create", "--id", "team-a", "--name", "Team A", "--model", "openai/*").strip()
    other = keys(keyed, "create").strip()
    assert soon(lambda: ask(keyed.url, key).status_code == 200)
    assert soon(lambda: ask(keyed.url, other).status_code == 200)
    model.asked.clear()
    model.may_answer.clear()
    under_way: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: under_way.append(ask(keyed.url, key)))
    thread.start()
    assert model.asked.wait(10)
    assert keys(keyed, "revoke", "team-a") == "revoked team-a\n"
    time.sleep(IMMEDIATELY)
    refused = ask(keyed.url, key)
    assert refused.status_code == 401
    model.may_answer.set()
    thread.join()
    assert under_way[0].status_code == 200
    assert ask(keyed.url, other).status_code == 200


def test_the_file_of_keys_keeps_hashes_and_comments_and_is_its_owners(keyed: Gateway) -> None:
    path = keyed.config.with_name("keys.yaml")
    key = keys(keyed, "create", "--id", "team-a", "--expires", "30d", "--limit", "usd_per_day=2.5").strip()
    assert key.startswith("sk-spanwise-")
    text = path.read_text()
    assert text.startswith("# Whose they are is in the wiki.\n")
    assert key not in text
    assert path.stat().st_mode & 0o777 == 0o600
    (listed,) = json.loads(keys(keyed, "list", "--json"))
    assert (listed["id"], listed["limits"], "hash" in listed) == ("team-a", {"usd_per_day": 2.5}, False)
    assert "good" in keys(keyed, "list")
    keys(keyed, "revoke", "team-a")
    assert "revoked" in keys(keyed, "list")
    assert path.read_text().startswith("# Whose they are is in the wiki.\n")
    for words in (["revoke", "nobody"], ["create", "--id", "a b"], ["create", "--id", "team-a"]):
        run("gateway", "keys", *words, "--config", keyed.config, code=64)


# What was used.


def test_fault_43_a_budget_outlives_a_restart(tmp_path: Path, model: Model) -> None:
    state = tmp_path / "usage.json"
    rule = {"name": "all", "limits": {"requests_total": 3}}
    limited = config(
        model, limits={"rules": [rule], "state_file": str(state)}, tracing={"exporters": [{"kind": "none"}]}
    )
    with running_gateway(tmp_path, limited) as gateway:
        assert [ask(gateway.url).status_code for _ in range(2)] == [200, 200]
        assert gateway.stop() == 0
    with running_gateway(tmp_path, limited) as gateway:
        assert [ask(gateway.url).status_code for _ in range(2)] == [200, 429]
        # What is written within seconds outlives a kill too.
        assert soon(lambda: '"requests":3' in state.read_text())
    state.write_text(state.read_text()[:-5])
    with running_gateway(tmp_path, limited) as gateway:
        assert ask(gateway.url).status_code == 200
    assert state.with_suffix(".broken").exists()
    assert "was set aside" in (tmp_path / "gateway.log").read_text()


# What it counts.


def samples(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    assert len({name for name, _ in lines}) == len(lines)
    return {name: float(value) for name, value in lines}


def test_metrics_have_a_listener_of_their_own(tmp_path: Path, model: Model) -> None:
    quiet = {"tracing": {"exporters": [{"kind": "none"}]}}
    with running_gateway(tmp_path, config(model, metrics={"port": 0}, **quiet)) as gateway:
        assert ask(gateway.url).status_code == 200
        assert ask(gateway.url, model="nobody").status_code == 404
        assert httpx.get(f"{gateway.url}/metrics").status_code == 404

        def counted(name: str) -> float | None:
            answer = httpx.get(f"{gateway.addresses['metrics']}/metrics")
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            return samples(answer.text).get(name)

        assert soon(lambda: counted('spanwise_gateway_refused_total{reason="model_not_found"}') == 1)
        call = 'gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="gpt-4o-mini"'
        assert soon(lambda: counted(f"gen_ai_client_inference_duration_seconds_count{{{call}}}") == 1)
        assert counted('spanwise_gateway_config_reloads_total{outcome="failed"}') == 0
        gateway.config.write_text("listeners: [")
        assert soon(lambda: counted('spanwise_gateway_config_reloads_total{outcome="failed"}') == 1)


def test_within_the_server_the_metrics_are_the_servers(embedded: Server) -> None:
    assert ask(embedded.addresses["models"]).status_code == 200

    def counted(name: str) -> float | None:
        return samples(embedded.api.raw("/metrics").text).get(name)

    assert soon(lambda: counted("spanwise_gateway_spans_exported_total") == 3)
    assert counted('spanwise_accepted_total{signal="spans",source="gateway"}') == 3


# Its files.


def test_fault_38_whatever_is_wrong_with_a_change_the_last_good_state_serves(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "sk-good")
    quiet = {"tracing": {"exporters": [{"kind": "none"}]}}
    good = config(model, **quiet)
    good["model_providers"][0]["access_key"] = "$A_KEY"
    without = json.loads(json.dumps(good))
    without["model_providers"][0]["access_key"] = "$NOT_SET"
    moved = {**good, "listeners": [{"name": "models", "port": 1}]}
    more = {**good, "listeners": [*good["listeners"], {"name": "more", "port": 0}]}
    bad_rules = {**good, "limits": {"rules": [{"name": "a", "limits": {}}, {"name": "a", "limits": {}}]}}
    missing_keys = {**good, "keys": {"file": str(tmp_path / "none.yaml")}}
    with running_gateway(tmp_path, good) as gateway:
        log = tmp_path / "gateway.log"
        for text, reason in [
            ("listeners: [", "line 1"),
            (json.dumps(good)[: len(json.dumps(good)) // 2], "line 1"),
            (json.dumps(without), "the variable NOT_SET is not set"),
            (json.dumps(moved), "cannot be moved"),
            (json.dumps(more), "cannot be moved"),
            (json.dumps(bad_rules), "two limits have the name `a`"),
            (json.dumps(missing_keys), "none.yaml"),
            (json.dumps({**good, "wrokers": 2}), "wrokers"),
            ("", "unexpected end"),
        ]:
            seen = len(log.read_text())
            gateway.config.write_text(text)
            assert soon(lambda seen=seen: "old configuration stays" in log.read_text()[seen:]), text
            assert reason in log.read_text()[seen:]
            assert ask(gateway.url).status_code == 200, text
        # A provider in use that is taken away: what is under way finishes, what is new is refused.
        model.asked.clear()
        model.may_answer.clear()
        under_way: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: under_way.append(ask(gateway.url)))
        thread.start()
        assert model.asked.wait(10)
        other = {**good, "model_providers": [{"model": "openai/other", "base_url": model.mock.openai_url}]}
        gateway.config.write_text(json.dumps(other))
        assert soon(lambda: "openai/other" in httpx.get(f"{gateway.url}/v1/models").text)
        assert ask(gateway.url).status_code == 404
        model.may_answer.set()
        thread.join()
        assert under_way[0].status_code == 200
        gateway.config.unlink()
        time.sleep(IMMEDIATELY)
        assert ask(gateway.url, model="openai/other").status_code == 200


def test_fault_39_changes_without_end_and_a_huge_configuration_do_no_harm(tmp_path: Path, model: Model) -> None:
    good = config(model, tracing={"exporters": [{"kind": "none"}]})
    huge = json.loads(json.dumps(good))
    huge["model_providers"] += [
        {
            "model": f"openai/model-{n:06}",
            "base_url": model.mock.openai_url,
            "upstream_model": "gpt-4o-mini-" + "x" * 40,
        }
        for n in range(35_000)
    ]
    texts = [json.dumps({**good, "limits": {"max_hops": n}}) for n in (7, 8)]
    with running_gateway(tmp_path, good) as gateway:

        def resident() -> int:
            status = Path(f"/proc/{gateway.process.pid}/status").read_text()
            return int(status.split("VmRSS:")[1].split()[0])

        def change_for(seconds: float) -> int:
            temporary = gateway.config.with_suffix(".tmp")
            until = time.monotonic() + seconds
            n = 0
            while time.monotonic() < until:
                temporary.write_text(texts[n % 2])
                temporary.rename(gateway.config)
                n += 1
                if n % 200 == 0:
                    assert ask(gateway.url).status_code == 200
            return n

        change_for(3)
        before = resident()
        assert change_for(3) > 300
        assert resident() < before + 8 * 1024
        gateway.config.write_text(json.dumps(huge))
        assert gateway.config.stat().st_size > 5_000_000
        assert soon(lambda: ask(gateway.url, model="openai/model-034999").status_code == 200, 60)
        gateway.config.write_text(texts[0])
        assert soon(lambda: ask(gateway.url, model="openai/model-034999").status_code == 404, 60)
        assert ask(gateway.url).status_code == 200


def test_a_hangup_reads_the_files_again(tmp_path: Path, model: Model) -> None:
    good = config(model, tracing={"exporters": [{"kind": "none"}]})
    with running_gateway(tmp_path, good) as gateway:
        subprocess.run([shutil.which("kill") or "/bin/kill", "-HUP", str(gateway.process.pid)], check=True)
        assert soon(lambda: "is in force as it is now" in (tmp_path / "gateway.log").read_text())
        assert ask(gateway.url).status_code == 200
