"""What needs no network: the zone as Cloudflare describes it, and the pack's own contradictions. Pure."""

from watchdog.model.findings import Certainty, Finding, FindingName
from watchdog.model.names import PREFIX, canonical
from watchdog.model.packs import Pack, ZoneFacts

MOST_LABELS = 10
"""Labels of a name that Let's Encrypt issues for; the asterisk of a wildcard is none of them."""

_INACTIVE = {
    "pending": "its name servers (or, for a partial zone, its verification record) have not been seen yet",
    "initializing": "it is still being set up",
    "moved": "its name servers point elsewhere",
    "deactivated": "it was deactivated",
    "deleted": "it was deleted",
}


def inactive(status: str) -> str:
    """What is wrong with a zone of this status, in a sentence; nothing where it is active, or nobody said."""
    if status in ("active", ""):
        return ""
    because = _INACTIVE.get(status)
    return f"The zone is {status}{': ' + because if because else ''}. Only an active zone gets certificates."


def check_zone(pack: Pack, zone: ZoneFacts) -> list[Finding]:
    """What is wrong with the zone, and with how the pack is to be validated."""
    found: list[Finding] = []
    method = pack.validation.method
    if says := inactive(zone.status):
        sure = Certainty.CERTAIN if zone.status in _INACTIVE else Certainty.HINT
        remedy = "Activate the zone: set the name servers Cloudflare names, or its verification record."
        found.append(Finding(name=FindingName.ZONE_NOT_ACTIVE, certainty=sure, host="", says=says, remedy=remedy))
    if zone.paused:
        sure = Certainty.LIKELY if method == "http" else Certainty.HINT
        says = "The zone is paused: Cloudflare answers its DNS questions and serves none of its pages."
        found.append(
            Finding(
                name=FindingName.ZONE_PAUSED,
                certainty=sure,
                host="",
                says=says,
                remedy="Resume the zone, or validate by TXT.",
            )
        )
    if method == "http":
        says = "Validation by HTTP can never prove a wildcard: there is no page to look at."
        remedy = "Change the pack's validation method to TXT, or order it without the wildcard."
        found += [
            Finding(name=FindingName.HTTP_ON_WILDCARD, certainty=Certainty.CERTAIN, host=host, says=says, remedy=remedy)
            for host in pack.hosts
            if host.startswith("*.")
        ]
    if method == "email":
        says = "The authority has sent an email to the domain's owner, and waits for the link in it to be followed."
        remedy = "Follow the link, or change the validation method to TXT: from 2028-03-15 no authority validates by"
        remedy += " email. A restart sends new emails."
        found.append(Finding(name=FindingName.EMAIL_WAITS, certainty=Certainty.HINT, host="", says=says, remedy=remedy))
    return found + _never_issued(pack)


def _never_issued(pack: Pack) -> list[Finding]:
    """Hosts that the pack's authority issues for nobody (cloudflare-docs, certificate-authorities), or that none may.

    A pack that holds a certificate is the better witness: then it is only likely. So is what all authorities are
    forbidden (CA/Browser Forum, Baseline Requirements 7.1.2.7.12), as Cloudflare took the order all the same.
    """
    sure = Certainty.CERTAIN if pack.expires_at is None else Certainty.LIKELY
    found = []
    for host in pack.hosts:
        name = canonical(host).removeprefix("*.")
        remedy = "Order the pack from another certificate authority, or without this host."
        certainty = sure
        if says := _never_by_anybody(name):
            certainty, remedy = Certainty.LIKELY, "Rename the host, or order the pack without it."
        elif pack.certificate_authority == "google" and f".{PREFIX}" in f".{name}":
            says = (
                "Google Trust Services issues for no names in Punycode (xn--), which stand for other letters than a-z."
            )
        elif pack.certificate_authority == "lets_encrypt" and (labels := name.count(".") + 1) > MOST_LABELS:
            says = f"Let's Encrypt issues for no names of more than {MOST_LABELS} labels; this one has {labels}."
        else:
            continue
        found.append(Finding(name=FindingName.CA_REFUSES, certainty=certainty, host=host, says=says, remedy=remedy))
    return found


def _never_by_anybody(name: str) -> str:
    if "_" in name:
        return "No public authority issues for a name with an underscore."
    if "--" in name and any(label[2:4] == "--" and not label.startswith(PREFIX) for label in name.split(".")):
        return "No public authority issues for a name with two hyphens at places 3 and 4 that is no Punycode (xn--)."
    return ""
