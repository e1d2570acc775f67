# Thin on purpose: every target is one script. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run demo python test check test-exporters test-otel-suites bench-rust bench-python bench-rag crash bench bench-full bench-ui bench-gateway

help: ## what there is to do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

run: ## build everything in release mode and start the server on ./spanwise-data
	@scripts/run

demo: ## send a realistic multi-agent workload to the running server
	@scripts/demo $(ARGS)

python: ## build the Python package in release mode and install it: make python PIP=.venv/bin/pip
	@scripts/build-python --install $(PIP)

test: ## everything CI runs: checks, Rust, Python, UI, browser, real clients
	@scripts/test

test-exporters: ## send spans to Zipkin, Jaeger, a Collector, Datadog's test agent and X-Ray's double
	@scripts/test-exporters $(ARGS)

check: ## formatting, lints, types and licences only
	@scripts/test check

test-otel-suites: ## OpenTelemetry's own Python test suites against our provider
	@scripts/test-otel-suites $(ARGS)

bench-rust: ## spans and the tracing layer in Rust beside their peers
	@scripts/bench-rust

bench-python: ## spans and decorators in Python beside their peers
	@scripts/bench-python $(ARGS)

bench-rag: ## what RAG control costs a request, in Rust and through Python
	@scripts/bench-rag

crash: ## kill -9 the server 200 times under load and audit what it acknowledged
	@scripts/crash $(ARGS)

bench: ## ingest, queries over a small store, storage of a conversation
	@scripts/bench

bench-full: ## the same with 10 million spans and Phoenix beside it (about an hour)
	@scripts/bench full

bench-ui: ## how soon the pages of a fresh server are usable in Chromium
	@scripts/bench-ui

bench-gateway: ## the gateway beside the floor and its peers (about an hour; ARGS=--quick: minutes; ARGS=soak)
	@scripts/bench-gateway $(ARGS)
