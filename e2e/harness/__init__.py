"""What the tests drive: a spanwise process, its API, and spans to send it."""
