"""How things look on the wire: the JSON objects of packs, certificates, verifications and zones."""

import hashlib
from datetime import datetime
from functools import lru_cache
from typing import Any

from watchdog.simulator.life import Life, challenged
from watchdog.simulator.scenario import ZoneStart

_ISSUERS = {"google": "Google Trust Services", "lets_encrypt": "Let's Encrypt", "ssl_com": "SSL.com"}
_CERTIFICATE_STATUS = {
    "initializing": "initializing",
    "pending_validation": "authorizing",
    "pending_issuance": "issuing",
    "validation_timed_out": "timing_out",
    "pending_deployment": "pending_deployment",
    "expired": "expired",
}
"""Seven words, ``active`` for all others: the specification knows no more, and the official SDKs refuse any other."""
_LONG_AGO = "2014-01-01T05:20:00.12345Z"


def delegation_uuid(zone: ZoneStart) -> str:
    """The zone's own label in the targets of delegated DCV: 16 hex characters."""
    return hashlib.sha256(f"dcv/{zone.id}".encode()).hexdigest()[:16]


def pack(life: Life) -> dict[str, Any]:
    """A certificate pack."""
    start = life.start
    shape: dict[str, Any] = {
        "id": life.id,
        "type": start.type,
        "hosts": list(life.hosts),
        "primary_certificate": life.certificates[0].id if life.certificates else "0",
        "status": life.status,
        "certificates": _certificates(life),
        "validity_days": start.validity_days,
        "validation_method": life.validation_method,
        "certificate_authority": start.certificate_authority,
        "cloudflare_branding": life.branded,
    }
    if life.status == "pending_validation":
        shape["validation_records"] = _validation_records(life)
        shape["dcv_delegation_records"] = _delegation_records(life)
    if life.errors:
        shape["validation_errors"] = [{"message": message} for message in life.errors]
    return shape


def verification(life: Life) -> dict[str, Any]:
    """One line of the zone's SSL verification."""
    return {
        "cert_pack_uuid": life.id,
        "certificate_status": _CERTIFICATE_STATUS.get(life.status, "active"),
        "signature": "ECDSAWithSHA256",
        "validation_method": life.validation_method,
        "brand_check": False,
        "verification_status": life.status == "active",
    }


def zone(start: ZoneStart) -> dict[str, Any]:
    """A zone."""
    return {
        "id": start.id,
        "name": start.name,
        "status": start.status,
        "paused": start.paused,
        "type": start.type,
        "development_mode": 0,
        "name_servers": ["bob.ns.cloudflare.com", "lola.ns.cloudflare.com"],
        "original_name_servers": None,
        "original_registrar": None,
        "original_dnshost": None,
        "created_on": _LONG_AGO,
        "modified_on": _LONG_AGO,
        "activated_on": _LONG_AGO,
        "account": {"id": start.account_id, "name": "Simulated Account"},
        "owner": {"id": None, "name": None, "type": "user"},
        "meta": {"step": 2, "custom_certificate_quota": 1, "page_rule_quota": 3, "phishing_detected": False},
        "plan": {"id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "name": "Free Website", "price": 0, "currency": "USD"},
    }


def _certificates(life: Life) -> list[dict[str, Any]]:
    return [
        {
            "id": certificate.id,
            "hosts": list(life.hosts),
            "issuer": _ISSUERS.get(life.start.certificate_authority, life.start.certificate_authority),
            "signature": certificate.signature,
            "status": "expired" if life.status == "expired" else "active",
            "bundle_method": "ubiquitous",
            "zone_id": life.zone.id,
            "uploaded_on": _rfc3339(certificate.issued_at),
            "modified_on": _rfc3339(certificate.issued_at),
            "expires_on": _rfc3339(certificate.expires_at),
            "priority": priority,
            "geo_restrictions": {"label": "us"},
        }
        for priority, certificate in enumerate(life.certificates)
    ]


def _validation_records(life: Life) -> list[dict[str, Any]]:
    match life.validation_method:
        case "http":
            return [
                {
                    "status": "pending",
                    "http_url": f"http://{host}/.well-known/pki-validation/ca3-{token[:32]}.txt",
                    "http_body": f"ca3-{token[32:]}",
                }
                for host, token in life.tokens()
                if not host.startswith("*.")
            ]
        case "email":
            return [{"status": "pending", "emails": [f"administrator@{life.zone.name}", f"webmaster@{life.zone.name}"]}]
        case _:
            return [
                {"status": "pending", "txt_name": challenged(host), "txt_value": token} for host, token in life.tokens()
            ]


def _delegation_records(life: Life) -> list[dict[str, Any]]:
    names = sorted({host.removeprefix("*.") for host in life.hosts})
    target = f"{delegation_uuid(life.zone)}.dcv.cloudflare.com"
    return [{"cname": f"_acme-challenge.{name}", "cname_target": f"{name}.{target}"} for name in names]


@lru_cache(maxsize=10_000)  # a certificate says the same with every list of packs
def _rfc3339(time: datetime) -> str:
    return time.replace(microsecond=0).isoformat().replace("+00:00", "Z")
