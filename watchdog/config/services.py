"""Which services an Apprise URL may not name, and what to use instead: they keep incidents that Apprise cannot close.

By Apprise 2.3.0: a recovery opens a second incident (PagerDuty, PagerTree, SIGNL4, Spike, Better Stack, xMatters),
closes the wrong ones or none (Splunk On-Call has one key for all; Squadcast, ilert, incident.io, FireHydrant, GoAlert
and OpsiMate take theirs from the text, which differs), or is not sent at all (Opsgenie, Jira; nor are tests).
"""

_INCIDENTS = {
    "pagerduty": "PagerDuty",
    "opsgenie": "Opsgenie",
    "jira": "Jira",
    "splunk": "Splunk On-Call",
    "victorops": "Splunk On-Call",
    "pagertree": "PagerTree",
    "signl4": "SIGNL4",
    "spike": "Spike",
    "squadcast": "Squadcast",
    "ilert": "ilert",
    "incidentio": "incident.io",
    "firehydrant": "FireHydrant",
    "goalert": "GoAlert",
    "goalerts": "GoAlert",
    "betterstack": "Better Stack",
    "opsimate": "OpsiMate",
    "opsimates": "OpsiMate",
    "xmatters": "xMatters",
}
"""By the scheme of the URL."""


def refusal(scheme: str) -> str:
    """Why a URL of this scheme is refused, with what to use instead; empty where it is not."""
    if scheme.lower() == "msteams":
        return "Teams took its connectors away: make a workflow there, and give its address as a workflows:// URL"
    name = _INCIDENTS.get(scheme.lower())
    if name is None:
        return ""
    instead = (
        "give its integration key as `pagerduty` or `pagerduty_file` instead"
        if name == "PagerDuty"
        else "send to an `alertmanager` that tells it, or to a `webhook` of your own, instead"
    )
    return f"Apprise cannot close what it opens at {name}: {instead}"
