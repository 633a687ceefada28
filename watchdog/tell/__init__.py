"""Telling people and machines: logs, metrics, HTTP. A teller that fails never fails the pass."""
