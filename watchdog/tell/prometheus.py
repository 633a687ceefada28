"""The door to prometheus_client, which is imported here, without the servers it brings and nobody here uses."""

from types import SimpleNamespace

from watchdog.lean_imports import import_without

import_without(
    "prometheus_client",
    instead={  # for servers and pushing of its own: 10 ms
        "http.server": SimpleNamespace(BaseHTTPRequestHandler=object),
        "urllib.request": SimpleNamespace(
            **dict.fromkeys(("BaseHandler", "HTTPHandler", "HTTPRedirectHandler", "HTTPSHandler", "Request"), object),
            build_opener=None,
        ),
        "wsgiref.simple_server": SimpleNamespace(WSGIRequestHandler=object, WSGIServer=object, make_server=None),
    },
)
from prometheus_client import (
    CollectorRegistry,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    utils,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

__all__ = [
    "Collector",
    "CollectorRegistry",
    "CounterMetricFamily",
    "GaugeMetricFamily",
    "Histogram",
    "Metric",
    "PlatformCollector",
    "ProcessCollector",
    "choose_encoder",
    "disable_created_metrics",
    "utils",
]
