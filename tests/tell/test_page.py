"""The page as a person reads it, by its words; how it looks and is reached, a browser says (``test_page_browser``)."""

import asyncio
import base64
import hashlib
import re
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import quote

import httpx
import pytest

from tests.harness import showcase
from tests.harness.builders import NOW, inventory, pack, troubled, zone
from tests.harness.values import replace
from watchdog.model.decisions import Decision, Do
from watchdog.model.reasons import Reason
from watchdog.model.silences import Silence
from watchdog.tell.pages import application
from watchdog.tell.query import Refused
from watchdog.tell.sources import AccountSituation

GAVE_UP = Decision(Do.GIVE_UP, Reason.GAVE_UP)
BLOCKS = {"td", "th", "dd", "dt", "p", "h1", "h2", "h3", "h4", "li", "tr", "div", "a", "br"}
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>'


class Words(HTMLParser):
    """What stands on the page outside its style, tags and links apart."""

    def __init__(self):
        super().__init__()
        self.words, self.tags, self.links, self._style = [], [], [], False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.words.append(" " if tag in BLOCKS else "")
        self._style = tag == "style"
        if tag == "a":
            self.links.append(dict(attrs)["href"])

    def handle_endtag(self, tag):
        self._style = self._style and tag != "style"

    def handle_data(self, data):
        if not self._style:
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def answer(path="/", **shown):
    app = application(showcase.sources(**shown))

    async def asked():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get(path)

    return asyncio.run(asked())


def page(path="/", **shown):
    got = answer(path, **shown)
    words = Words()
    words.feed(got.text)
    words.status = got.status_code
    return words


@pytest.fixture(scope="module")
def bad_day():
    return page()


def well(*packs, **more):
    return page(found=inventory(*(packs or (pack(),)), **more), lines=[])


# ── the first page ───────────────────────────────────────────────────────────────────────────────────────────────


def test_one_sentence_says_it_all_first(bad_day):
    assert bad_day.text.startswith(
        "4 need you · certpack-watchdog Skip to the content certpack-watchdog"
        " 30 packs in 31 zones; 4 need you; 1 zone not seen; last pass 9 s ago."
    )


def test_a_fleet_that_is_well_needs_nobody():
    text = well().text
    assert "1 pack in 1 zone; nothing needs you; last pass 9 s ago." in text
    assert "Nothing. Each certificate is well, or the watchdog is at work on it." in text


def test_before_the_first_pass_nothing_is_claimed():
    text = page(found=inventory(zones=[]), lines=[], last_pass=None).text
    assert "the first pass is under way" in text
    assert "Nothing is known yet." in text


@pytest.mark.parametrize(
    ("standing", "says"),
    [
        ({"dry_run": True}, "Dry run: nothing is changed at Cloudflare."),
        (
            {"refusal": "config.yaml:3: no"},
            "The configuration was refused at the last reload. The one from 3 d ago goes on.",
        ),
        ({"refusal": "config.yaml:3: no"}, "config.yaml:3: no."),
        ({"state_error": "disk full"}, "The state cannot be written, so nothing is restarted. disk full."),
        ({"state_lost": "kept as x"}, "The state was lost, and another is used. kept as x."),
        ({"overdue_since": NOW - timedelta(minutes=5)}, "A pass does not end; it was due 5 min ago."),
        (
            {"discovery": {"main": (Reason.NOT_FOUND, "It sees none.")}},
            "Account main has no zone to watch. It sees none.",
        ),
        ({"discovery": {"main": (Reason.UNSEEN, "HTTP 502")}}, "The zones of account main cannot be listed. HTTP 502."),
    ],
)
def test_what_is_wrong_with_the_watchdog_itself_is_said_before_anything_else(standing, says):
    text = page(**standing).text
    assert says in text
    assert text.index(says) < text.index("Needs you")


def test_a_pack_that_needs_a_person_says_why_since_when_and_what_to_do(bad_day):
    assert (
        "critical shop.example (shop.example and 1 more) Gave up after 8 restarts. Since 40 h ago. Next step:"
        " Find out why its validation fails, mend that, then run certpack-watchdog restart shop.example"
    ) in bad_day.text


def test_what_is_silenced_stands_last_and_says_until_when():
    silence = Silence(
        id=1, account="main", zone="shop.example", zone_id="", at=NOW, until=NOW + timedelta(days=2), comment="known"
    )
    text = page(found=replace(showcase.fleet(), silences=[silence])).text
    assert "4 need you (1 silenced)" in text
    assert "Silenced: nobody is told of it again before the silence ends, in 2 d." in text
    assert text.index("intranet.example Not restarted") < text.index("Gave up after 8 restarts")


def test_what_is_graver_stands_higher(bad_day):
    marks = [mark["class"] for tag, mark in bad_day.tags if tag == "article"]
    assert marks == ["card critical", "card critical", "card warning", "card warning"]


def test_the_records_to_place_are_there_to_be_copied(bad_day):
    for record in showcase.TOKENS:
        assert f"{record.type} {record.name} {record.value}" in bad_day.text


def test_it_leads_to_the_zone_the_dashboard_and_the_runbook(bad_day):
    for link in ("./zones/main/shop.example", "https://docs.example/runbooks/gave_up.md"):
        assert link in bad_day.links
    assert any(link.startswith("https://dash.cloudflare.com/") for link in bad_day.links)


def test_a_runbook_without_an_address_is_named_and_no_link():
    shown = page(runbooks="docs/runbooks/")
    assert "Runbook: docs/runbooks/gave_up.md" in shown.text
    assert not any("runbooks" in link for link in shown.links)


def test_what_is_worked_on_says_when_it_is_restarted_next(bad_day):
    assert "blog.example validation_timed_out since 50 min ago 2 restart in 12 min" in bad_day.text


def test_what_nobody_works_on_is_not_said_to_be_worked_on():
    disabled = troubled("p1", decision=Decision(Do.LEAVE, Reason.DISABLED))
    text = page(found=inventory(disabled), lines=[]).text
    assert "Working on it Nothing to do. Left alone" in text
    assert "Nothing: restarts are disabled for this zone by the configuration." in text


def test_zones_that_were_not_seen_say_why_and_what_to_do(bad_day):
    assert "partner.example 5 h ago list_packs: HTTP 403, code 9109" in bad_day.text
    assert "Put another token into its file, or give it the permission that is named above" in bad_day.text


def test_the_certificates_that_end_next_come_in_their_order(bad_day):
    text = bad_day.text[bad_day.text.index("Expiring next") : bad_day.text.index("What happened")]
    assert text.index("legacy.example") < text.index("shop.example") < text.index("intranet.example")
    assert "in 9 h" in text


def test_what_happened_comes_newest_first(bad_day):
    text = bad_day.text[bad_day.text.index("What happened") :]
    assert text.index("18 min ago restart_sent blog.example") < text.index("3 h ago gave_up shop.example")
    assert "active → pending_validation" in text


def test_destinations_say_what_waits_and_why(bad_day):
    assert "Alerts to ops-chat nothing waits Alerts to pager 2 waiting; the last try failed: HTTP 503" in bad_day.text


def test_quota_version_and_age_of_the_configuration_are_there(bad_day):
    assert "Version 0.1.0 Configuration loaded 3 d ago Quota of main 1141 of 1200 requests left" in bad_day.text


def test_of_zones_that_cannot_be_listed_it_says_what_to_look_at():
    text = page(discovery={"main": (Reason.UNSEEN, "HTTP 502")}).text
    assert "says whether that lasts; if so, see whether the network, the proxy and api.base_url lead to" in text


def test_until_when_cloudflare_makes_an_account_wait_is_there():
    ends, per = NOW + timedelta(minutes=40), timedelta(minutes=5)
    account = AccountSituation(name="main", remaining=0, allowed=1200, per=per, blocked_until=ends)
    said = "Quota of main 0 of 1200 requests left; the wait that Cloudflare asked for ends in 40 min"
    assert said in page(accounts=(account,)).text


def test_a_journal_that_cannot_be_read_hides_nothing_else():
    sources = showcase.sources()

    async def broken(_):
        raise Refused("journal_unreadable", "the journal cannot be read now: the disk is gone", 503)

    app = application(replace(sources, events=broken))

    async def asked(path):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1") as client:
            return (await client.get(path)).text

    for path in ("/", "/zones/main/shop.example"):
        text = asyncio.run(asked(path))
        assert "The journal cannot be read now: the disk is gone." in text
        assert "Gave up after 8 restarts" in text


def test_every_time_is_there_to_the_second(bad_day):
    times = [attrs for tag, attrs in bad_day.tags if tag == "time"]
    assert times
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", attrs["datetime"]) for attrs in times)


# ── long lists ───────────────────────────────────────────────────────────────────────────────────────────────────


def many(number):
    packs = [troubled(f"p{n:05}", zone=f"z{n:05}.example", decision=GAVE_UP) for n in range(number)]
    return inventory(*packs, zones=[zone(known.zone) for known, _ in packs])


def test_a_long_list_is_shown_in_parts_that_lead_to_each_other():
    found = many(45)
    first, second, third = (page(f"/?needs={number}", found=found, lines=[]) for number in (1, 2, 3))
    shown = [sum(tag == "article" for tag, _ in each.tags) for each in (first, second, third)]
    assert shown == [20, 20, 5]
    assert "25 more" in first.text
    assert ("?needs=2#needs" in first.links, "?needs=3#needs" in second.links, "?needs=2#needs" in third.links) == (
        True,
    ) * 3


@pytest.mark.parametrize("number", ["0", "-1", "two", "99999999999", "", "１"])
def test_a_part_that_is_not_there_is_one_that_is(number):
    shown = page(f"/?needs={number}", found=many(45), lines=[])
    assert (shown.status, any(tag == "article" for tag, _ in shown.tags)) == (200, True)


def test_a_zone_is_found_by_a_part_of_its_name():
    shown = page("/?zone=00012", found=many(120), lines=[])
    links = [link for link in shown.links if link.startswith("./zones/")]
    assert links[-1] == "./zones/main/z00012.example"
    assert "z00013.example" not in shown.text[shown.text.index("Find a zone") :]


def test_the_parts_of_what_was_found_are_of_what_was_found():
    shown = page("/?zone=z*", found=many(120), lines=[])
    assert "?zone=z%2A&zones=2#zones" in shown.links


# ── the page of a zone ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def shop():
    return page("/zones/main/shop.example")


def test_the_page_of_a_zone_says_all_that_is_known_of_its_packs(shop):
    for text in (
        "shop.example 1 pack, account main, last seen 9 s ago.",
        "Status validation_timed_out since 3 h ago",
        "Decision give_up: gave_up",
        "Restarts 8, the last 3 h ago",
        "Certificate ends in 12 d; Cloudflare renews it until 2026-12-05T12:00:00Z",
        "Last error no TXT record was found",
        "likely: shop.example, www.shop.example: The record that Cloudflare waits for is not there.",
    ):
        assert text in shop.text


def test_the_picture_is_told_to_whoever_does_not_see_it(shop):
    [picture] = [attrs for tag, attrs in shop.tags if tag == "svg" and attrs.get("role") == "img"]
    assert picture["aria-label"] == "The last 30 d: timed out or expired for 46 h, 9 restarts."
    assert picture["aria-label"] in shop.text


def test_a_zone_that_was_not_seen_says_so_on_its_page():
    assert "Not seen at the last look. list_packs: HTTP 403" in page("/zones/main/partner.example").text


@pytest.mark.parametrize("path", ["/zones/main/nowhere.example", "/zones/nobody/shop.example", "/zones/main/a/b/c"])
def test_a_zone_that_is_not_watched_has_no_page(path):
    shown = page(path)
    assert (shown.status, "No zone of this name is watched." in shown.text) == (404, True)


@pytest.mark.parametrize("name", ["a/b", "Büro & Söhne", "what?", "50%", "#1", "a b"])
def test_whatever_a_zone_is_called_its_page_is_found_by_its_link(name):
    found = inventory(pack(zone=name), zones=[zone(name)])
    link = next(link for link in page(found=found, lines=[]).links if link.startswith("./zones/"))
    shown = page(link.removeprefix("."), found=found, lines=[])
    assert (shown.status, name in shown.text) == (200, True)


# ── security ─────────────────────────────────────────────────────────────────────────────────────────────────────


def hostile():
    known, history = troubled("p1234", zone=HOSTILE, account="main", decision=GAVE_UP)
    of_pack = {"hosts": (HOSTILE, "{{ 7 * 7 }}"), "status": HOSTILE, "validation_errors": (HOSTILE,), "type": HOSTILE}
    known = replace(known, pack=replace(known.pack, **of_pack))
    return inventory(
        (known, replace(history, last_error=HOSTILE)), zones=[zone(HOSTILE, error=HOSTILE, reason="unseen")]
    )


@pytest.mark.parametrize(
    "path", ["/", "/zones/main/" + httpx.URL("http://x", path="/" + HOSTILE).raw_path.decode()[1:]]
)
def test_whatever_comes_from_outside_is_text(path):
    [line] = [each for each in showcase.journal(showcase.fleet()) if each[1].event == "gave_up"]
    evil = replace(line[1], zone=HOSTILE, detail=HOSTILE, reason=HOSTILE, event=HOSTILE, zone_id=f"id-of-{HOSTILE}")
    shown = page(path, found=hostile(), lines=[(1, evil)], state_error=HOSTILE, version=HOSTILE)
    assert shown.status == 200
    assert HOSTILE in "".join(shown.words)
    assert {tag for tag, _ in shown.tags} & {"script", "img", "iframe", "object"} == set()
    assert not any(name.startswith("on") or name == "style" for _, attrs in shown.tags for name in attrs)
    assert "49" not in shown.text


def test_a_search_is_text_too():
    shown = answer(f"/?zone={quote(HOSTILE)}", found=many(1), lines=[])
    assert "<script" not in shown.text


def test_the_policy_lets_a_browser_show_the_one_style_and_nothing_else():
    got = answer()
    policy = dict(part.strip().partition(" ")[::2] for part in got.headers["content-security-policy"].split(";"))
    style = re.search(r"<style>(.*?)</style>", got.text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert (policy["default-src"], policy["style-src"]) == ("'none'", f"'sha256-{digest}'")
    assert "script-src" not in policy
    assert got.headers["content-type"] == "text/html; charset=utf-8"


def test_no_secret_of_a_destination_is_on_the_page(bad_day):
    assert not re.search(r"hooks\.|token=|Bearer", bad_day.text)


@pytest.mark.parametrize("path", ["/", "/zones/main/shop.example"])
def test_every_section_has_a_heading_that_names_it(path):
    shown = page(path)
    ids = {attrs.get("id") for _, attrs in shown.tags}
    for tag, attrs in shown.tags:
        if tag == "section":
            assert attrs["aria-labelledby"] in ids


@pytest.mark.parametrize("path", ["/", "/zones/main/shop.example"])
def test_no_sentence_is_too_long_for_a_tired_reader(path):
    shown = page(path)
    for data in shown.words:
        for sentence in re.split(r"(?<=[.!?;:])\s", data):
            assert len(sentence.split()) <= 25, sentence
