"""Telling people and machines: logs, metrics, HTTP. A telemetry that fails never fails the pass."""
