"""The words that people get, at night and in a language not theirs: ``tests.harness.readable`` has the rule."""

import asyncio
import re
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
import yaml

from tests.harness import showcase
from tests.harness.builders import NOW, inventory, zone
from tests.harness.readable import fault, sentences, texts_in
from tests.harness.values import rows_of
from watchdog.model.alerts import Kind, Notice, Route
from watchdog.model.decisions import Do
from watchdog.model.meanings import REASONS
from watchdog.model.needs import Needs
from watchdog.model.reasons import Reason
from watchdog.notify.messages import messages
from watchdog.notify.rules import HealthReport, active_alerts
from watchdog.tell.pages import application

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "watchdog"
SQL = ("SELECT ", "WITH ")
DESCRIBING = {
    *(f"cli/{name}.py" for name in ("asking", "memory", "preparing")),
    *(f"commands/{name}.py" for name in ("first_run", "init")),
    *(f"config/{name}.py" for name in ("accounts", "advice", "alerts", "schema", "zones")),
    "simulator/credentials.py",
    *(f"tell/{name}.py" for name in ("gauges", "openapi", "query", "series")),
}
"""Modules with what describes an option, a setting, a field or a metric: it may begin with "Whether" or "Until"."""

MODULES = sorted(PACKAGE.rglob("*.py"))
SPEAKING = [path for path in MODULES if path.relative_to(PACKAGE).as_posix() not in DESCRIBING]
"""All others: a new module is one of them unless it says why not."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DECIDED = [reason for reason in Reason if REASONS[reason].decided]
ENDS = [-DAY, 2 * HOUR, 3 * DAY, 12 * DAY]
ERROR = "list_packs: HTTP 502"


def hard(*texts):
    """The sentences that are hard to read, each with what makes it so."""
    return [(why, sentence) for text in texts for sentence in sentences(text) if (why := fault(sentence))]


def situations():
    """A pack for each decision there can be, and for each kind of certificate at each distance from its end."""
    tried = showcase.restarts(3, since=2 * DAY, last=HOUR, following=HOUR)
    packs = [
        showcase.tracked(
            f"{reason.replace('_', '-')}.example",
            "validation_timed_out" if reason is not Reason.HEALTHY else "active",
            Do(REASONS[reason].decided),
            reason,
            history=tried if reason is not Reason.HEALTHY else None,
            ends=40 * DAY,
        )
        for reason in DECIDED
    ]
    return packs + [
        showcase.tracked(f"{kind}-{number}.example", status, ends=ends, pack={"type": kind})
        for number, ends in enumerate(ENDS)
        for kind, status in (
            ("advanced", "active"),
            ("advanced", "validation_timed_out"),
            ("universal", "active"),
            ("sni_custom", "active"),
            ("advanced", "pending_expiration"),
        )
    ]


FLEET = inventory(
    *situations(),
    zones=[zone(f"{reason}.example", error=ERROR, reason=reason) for reason in Reason if REASONS[reason].zone]
    + [zone("unseen.example", error=ERROR, reason="unseen")],
)
STANDING = HealthReport(
    state_error="the state cannot be written: the disk is full",
    config_error="config.yaml:3: zones: is missing",
    overdue_since=NOW - HOUR,
    discovery={"main": (Reason.CREDENTIAL_REFUSED, ERROR)},
    state_lost="The state was damaged.",
)


def alerts():
    return active_alerts(FLEET, STANDING, NOW - DAY, NOW).alerts.values()


@pytest.mark.parametrize("path", SPEAKING, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_text_of_a_module_that_speaks_can_be_read(path):
    assert hard(*(text for text in texts_in(path) if not text.startswith(SQL))) == []


def test_only_modules_that_are_there_and_describe_are_left_out():
    left_out = {path for path in MODULES if hard(*texts_in(path))} - set(SPEAKING)
    assert {path.relative_to(PACKAGE).as_posix() for path in left_out} == DESCRIBING


def test_every_text_of_the_reasons_can_be_read():
    found = [text for meaning in REASONS.values() for text in vars_of(meaning)]
    assert hard(*found) == []


def vars_of(meaning):
    return [value for name in meaning.__struct_fields__ if isinstance(value := getattr(meaning, name), str)]


@pytest.mark.parametrize("kind", Kind)
def test_every_alert_that_there_can_be_can_be_read(kind):
    found = list(alerts())
    assert {alert.reason for alert in found} >= {Reason.GAVE_UP, Reason.EXPIRED, Reason.EXPIRING, Reason.PASS_OVERDUE}
    told = [messages([Notice(kind, alert, NOW)], "ops", Route(), NOW) for alert in found]
    assert hard(*(message.body for [message] in told)) == []
    assert hard(*(re.sub(r"^\[\w+\] (?:still )?\w+: ", "", message.title) for [message] in told)) == []


def test_a_message_about_many_can_be_read():
    together = messages([Notice(Kind.STARTED, alert) for alert in alerts()], "ops", Route(), NOW)
    assert hard(*(message.body for message in together)) == []


def test_what_is_explained_of_every_pack_can_be_read():
    rows = rows_of(FLEET)["packs"]
    assert hard(*(row[name] or "" for row in rows for name in ("why", "next_step"))) == []
    needs = Needs(FLEET.by_zone, NOW)
    assert any(needs.of(*tracked) for tracked in FLEET.packs)


class Blocks(HTMLParser):
    """The texts of a page, each block by itself."""

    INLINE = frozenset({"a", "abbr", "b", "code", "em", "span", "strong", "time", "small", "i"})

    def __init__(self):
        super().__init__()
        self.texts, self.silent = [""], False

    def handle_starttag(self, tag, _attributes):
        self.silent = tag in ("style", "pre", "svg", "title")
        if tag not in self.INLINE:
            self.texts.append("")

    def handle_endtag(self, tag):
        self.silent = False
        if tag not in self.INLINE:
            self.texts.append("")

    def handle_data(self, data):
        if not self.silent:
            self.texts[-1] += re.sub(r"\s+", " ", data)


@pytest.mark.parametrize("path", ["/", "/zones/main/shop.example", "/zones/main/intranet.example", "/zones/main/none"])
def test_every_page_can_be_read(path):
    app = application(
        showcase.sources(
            dry_run=True, refusal="config.yaml:3: it is wrong", state_error=ERROR, overdue_since=NOW - HOUR
        )
    )

    async def page():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return (await client.get(path)).text

    blocks = Blocks()
    blocks.feed(asyncio.run(page()))
    assert len(blocks.texts) > 3
    assert hard(*blocks.texts) == []


def annotations():
    rules = yaml.safe_load((ROOT / "deploy/prometheus/certpack-watchdog.rules.yml").read_text())
    for group in rules["groups"]:
        for rule in group["rules"]:
            for text in rule.get("annotations", {}).values():
                for branch in (r"\1", r"\2"):
                    told = re.sub(r"\{\{ if .*? \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}", branch, text)
                    yield re.sub(r"\{\{.*?\}\}", "X", told)


def test_what_prometheus_says_can_be_read():
    assert hard(*annotations()) == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs/runbooks").glob("*.md")), ids=lambda path: path.stem)
def test_what_a_runbook_says_first_can_be_read(path):
    found = re.search(r"## What it means\n\n(.+?)(?:\n\n|\Z)", path.read_text(), re.DOTALL)
    assert hard(" ".join(found[1].split()) if found else "") == []


@pytest.mark.parametrize(
    "sentence",
    [
        "If the record is missing, add it.",
        "Having timed out twice, the pack is restarted.",
        "The pack " + "very " * 24 + "waits.",
    ],
)
def test_a_sentence_that_is_hard_to_read_is_found(sentence):
    assert fault(sentence)


@pytest.mark.parametrize(
    "sentence", ["Add the record if it is missing.", "Something is wrong, and nobody knows.", "The pack waits."]
)
def test_a_sentence_that_is_easy_to_read_is_let_be(sentence):
    assert fault(sentence) == ""
