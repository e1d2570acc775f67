"""Tracing for LLM applications."""
