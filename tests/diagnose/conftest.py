import pytest

from tests.harness.dns_server import Responder


@pytest.fixture
def resolver() -> Responder:
    """A resolver that knows one domain, whose zone is example.com and whose one host is www."""
    return Responder({"com": ["SOA"], "example.com": ["SOA", "A 192.0.2.1"], "www.example.com": ["A 192.0.2.1"]})
