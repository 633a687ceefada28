"""A fleet on a bad day, made up, for whoever looks at the pages: browsers in tests, and ``make screenshot``.

``python -m tests.harness.showcase PAGE.png ZONE.png`` has Chromium take pictures of the first page and of a zone's.
"""

import asyncio
import hashlib
import sys
from datetime import timedelta
from pathlib import Path

from tests.harness.builders import NOW, inventory, pack
from tests.harness.values import replace
from watchdog.config.durations import parse_duration
from watchdog.model.decisions import Decision, Do
from watchdog.model.findings import Certainty, Diagnosis, Finding, FindingName
from watchdog.model.history import History, JournalLine
from watchdog.model.packs import ManualRecord
from watchdog.model.reasons import Reason
from watchdog.model.report import PassReport
from watchdog.tell.fleet import Fleet
from watchdog.tell.listener import Listener, bind
from watchdog.tell.pages import application
from watchdog.tell.sources import AccountSituation, DestinationSituation, Situation, Sources

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
TOKENS = [
    ManualRecord("TXT", "_acme-challenge.shop.example", "uhY3mLhRr5tT0v8pQ1b7c2n4k6x9z0aYwE3sD5fG7hJ"),
    ManualRecord("TXT", "_acme-challenge.www.shop.example", "Kq8rN2vW4xZ6bD1fH3jL5nP7sT9uYcE0gIiMmOoQqSs"),
]


def restarts(times, *, since, last, following=None, gave_up=None, error=""):
    return History(
        attempts=times,
        trouble_since=NOW - since,
        last_restart_at=NOW - last,
        next_restart_at=None if following is None else NOW + following,
        gave_up_at=None if gave_up is None else NOW - gave_up,
        last_error=error,
    )


def tracked(zone, status, do=Do.LEAVE, reason=Reason.HEALTHY, *, since=20 * DAY, ends=None, history=None, **more):
    known, untroubled = pack(hashlib.sha256(zone.encode()).hexdigest()[:32], status, zone=zone)
    hosts = more.pop("hosts", (zone, f"*.{zone}"))
    of_pack = {"hosts": hosts, "expires_at": None if ends is None else NOW + ends, "uploaded_at": None}
    if ends is not None:
        of_pack["uploaded_at"] = NOW + ends - 90 * DAY
    of_pack |= more.pop("pack", {})
    known = replace(
        known,
        pack=replace(known.pack, **of_pack),
        since=NOW - since,
        decision=Decision(do, reason, more.pop("until", None)),
        diagnosis=more.pop("diagnosis", None),
    )
    return known, history or untroubled


def fleet():
    """30 packs in 31 zones; four need a person, two are being restarted, one waits for Cloudflare."""
    missing = [
        Finding(
            name=FindingName.TOKEN_MISSING,
            certainty=Certainty.LIKELY,
            host=record.name.removeprefix("_acme-challenge."),
            says="The record that Cloudflare waits for is not there.",
            remedy="Add the record below.",
            record=record,
        )
        for record in TOKENS
    ]
    caa = Finding(
        name=FindingName.CAA_FORBIDS,
        certainty=Certainty.CERTAIN,
        host="intranet.example",
        says="The CAA records of intranet.example allow letsencrypt.org only, not pki.goog.",
        remedy="Add a CAA record for pki.goog, or order the pack from Let's Encrypt.",
    )
    troubled = [
        tracked(
            "shop.example",
            "validation_timed_out",
            Do.GIVE_UP,
            Reason.GAVE_UP,
            since=3 * HOUR,
            ends=12 * DAY,
            history=restarts(8, since=40 * HOUR, last=3 * HOUR, gave_up=3 * HOUR, error="no TXT record was found"),
            diagnosis=Diagnosis(NOW - 5 * MINUTE, tuple(missing)),
            hosts=("shop.example", "www.shop.example"),
        ),
        tracked(
            "intranet.example",
            "validation_timed_out",
            Do.LEAVE,
            Reason.HELD_BY_DIAGNOSIS,
            since=2 * HOUR,
            ends=21 * DAY,
            history=restarts(1, since=3 * HOUR, last=2 * HOUR),
            diagnosis=Diagnosis(NOW - 2 * MINUTE, (caa,)),
        ),
        tracked("legacy.example", "active", ends=9 * HOUR, pack={"type": "sni_custom"}, hosts=("pay.legacy.example",)),
        tracked("docs.example", "deployment_timed_out", reason=Reason.OTHER_STAGE_TIMED_OUT, since=DAY, ends=40 * DAY),
        tracked(
            "blog.example",
            "validation_timed_out",
            Do.WAIT,
            Reason.BACKING_OFF,
            since=18 * MINUTE,
            ends=25 * DAY,
            history=restarts(2, since=50 * MINUTE, last=18 * MINUTE, following=12 * MINUTE),
            until=NOW + 12 * MINUTE,
        ),
        tracked(
            "forum.example",
            "validation_timed_out",
            Do.WAIT,
            Reason.BACKING_OFF,
            since=2 * HOUR,
            ends=28 * DAY,
            history=restarts(4, since=9 * HOUR, last=2 * HOUR, following=2 * HOUR),
            until=NOW + 2 * HOUR,
        ),
        tracked("news.example", "pending_validation", Do.LEAVE, Reason.IN_PROGRESS, since=4 * MINUTE, ends=30 * DAY),
    ]
    well = [tracked(f"customer-{number:02}.example", "active", ends=(33 + 2 * number) * DAY) for number in range(1, 24)]
    packs = [*troubled, *well]
    zones = [zone_of(known) for known, _ in packs]
    lost = replace(
        zone_of(packs[0][0]),
        label="partner.example",
        id="",
        seen_at=NOW - 5 * HOUR,
        error="list_packs: HTTP 403, code 9109: Unauthorized to access requested resource",
        reason="credential_refused",
    )
    return inventory(*packs, zones=[*zones, lost])


def zone_of(known):
    from tests.harness.builders import zone  # noqa: PLC0415  a name that is a word here

    return replace(zone(known.zone), seen_at=NOW - 9 * timedelta(seconds=1), tried_at=NOW - 9 * timedelta(seconds=1))


def journal(found):
    """What happened in a month to the packs in trouble, newest first."""
    lines = []

    def happened(ago, known, event, detail, reason=""):
        lines.append(
            JournalLine(
                at=NOW - ago,
                event=event,
                account=known.account,
                zone=known.zone,
                zone_id=known.pack.zone_id,
                pack_id=known.pack.id,
                reason=reason,
                detail=detail,
            )
        )

    for known, history in found.packs:
        if history.trouble_since is None:
            continue
        began = NOW - history.trouble_since
        happened(19 * DAY, known, "pack_changed", "before=active status=pending_validation")
        happened(19 * DAY - 3 * HOUR, known, "pack_changed", "before=pending_validation status=validation_timed_out")
        happened(19 * DAY - 3 * HOUR, known, "restart_sent", "attempt=1 outcome=accepted", "restarted")
        happened(18.6 * DAY, known, "pack_changed", "before=validation_timed_out status=pending_validation")
        happened(18.5 * DAY, known, "pack_changed", "before=pending_validation status=active")
        happened(18.5 * DAY, known, "recovered", "after_seconds=39600 restarts=1", "healthy")
        happened(began + 4 * HOUR, known, "pack_changed", "before=active status=pending_validation")
        happened(began, known, "pack_changed", "before=pending_validation status=validation_timed_out")
        for number in range(history.attempts):
            at = began - number * (began - (NOW - history.last_restart_at)) / max(1, history.attempts - 1)
            happened(at, known, "restart_sent", f"attempt={number + 1} outcome=accepted", "restarted")
        if history.gave_up_at is not None:
            happened(NOW - history.gave_up_at, known, "gave_up", f"attempts={history.attempts}", "gave_up")
    lines.sort(key=lambda line: line.at)
    return list(enumerate(lines, 1))[::-1]


def situation(**more):
    return Situation(
        **{
            "version": "0.1.0",
            "loaded_at": NOW - 3 * DAY,
            "last_pass": PassReport(NOW - timedelta(seconds=11), seconds=2.0),
            "accounts": (AccountSituation(name="main", remaining=1141, allowed=1200, per=5 * MINUTE),),
            "destinations": (
                DestinationSituation(name="ops-chat", waiting=0, failing=""),
                DestinationSituation(name="pager", waiting=2, failing="HTTP 503; it is tried again"),
            ),
            "runbooks": "https://docs.example/runbooks",
            **more,
        }
    )


def sources(found=None, lines=None, now=None, **of_situation):
    """The pages' sources for this fleet, or another."""
    found = found or fleet()
    told = journal(found) if lines is None else lines
    shown = Fleet(found)

    async def ready():
        return True, "ok"

    async def latest():
        return shown

    async def events(query):
        fits = [each for each in told if not query.zone_id or each[1].zone_id == query.zone_id]
        return fits[: query.most]

    return Sources(
        healthy=lambda: (True, "ok"),
        ready=ready,
        metrics=lambda _: ([], "text/plain"),
        fleet=latest,
        alerts=lambda: {"alerts": []},
        events=events,
        situation=lambda: situation(**of_situation),
        now=now or (lambda: NOW),
        duration=parse_duration,
    )


async def pictures(page, of_a_zone):
    """Chromium's pictures of the two pages, as files."""
    from tests.harness.browser import chromium  # noqa: PLC0415  who only serves needs no browser

    listener = Listener(application(sources()), sock := bind("127.0.0.1:0"))
    listener.start()
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/"

    def take():
        with chromium(width=1000, height=1130) as browser:
            for path, where in ((page, url), (of_a_zone, f"{url}zones/main/shop.example")):
                browser.go(where)
                Path(path).write_bytes(browser.picture(whole=False))

    await asyncio.to_thread(take)
    await listener.stop()


if __name__ == "__main__":
    asyncio.run(pictures(*sys.argv[1:]))
