"""The page in a real Chromium: what fits, what is reached by keyboard, what a policy forbids, in light and in dark."""

import asyncio
import shutil
import subprocess
import threading

import pytest

from tests.harness import showcase
from tests.harness.browser import MISSING, chromium
from tests.harness.builders import inventory, troubled, zone
from tests.harness.values import replace
from watchdog.model.decisions import Decision, Do
from watchdog.model.reasons import Reason
from watchdog.tell.listener import Listener, bind
from watchdog.tell.pages import application

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed (Debian: chromium-driver)"),
]

PHONE, DESK = {"width": 360, "height": 740, "scale": 2}, {"width": 1100, "height": 900}
LONG = "x" * 180
MARKUP = '"><script>document.title="owned"</script><b onmouseover=alert(1)>'
TURNED = "\u202eelpmaxe.live"
CONTRAST = """
const lum = c => { const v = c.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255)
  .map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4); return .2126 * v[0] + .7152 * v[1] + .0722 * v[2] };
const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (!/, 0\\)$/.test(c) && c !== "transparent") return c } return "rgb(255, 255, 255)" };
let worst = [99, ""];
for (const e of document.querySelectorAll("body *")) {
  if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || e.closest("svg")) continue;
  const [a, b] = [lum(getComputedStyle(e).color), lum(ground(e))].sort((x, y) => y - x);
  const ratio = (a + .05) / (b + .05);
  if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 80)];
}
return worst;
"""


@pytest.fixture(scope="module")
def site():
    """``site(sources)``: the address of a listener that shows these from now on."""
    ready, shown, stop = threading.Event(), {}, []

    async def stand():
        async def app(scope, receive, send):
            await shown["app"](scope, receive, send)

        stopping = asyncio.Event()
        listener = Listener(app, sock := bind("127.0.0.1:0"))
        listener.start()
        shown["url"] = f"http://127.0.0.1:{sock.getsockname()[1]}/"
        stop[:] = [asyncio.get_running_loop(), stopping]
        ready.set()
        await stopping.wait()
        await listener.stop()

    thread = threading.Thread(target=lambda: asyncio.run(stand()))
    thread.start()
    assert ready.wait(10)

    def show(sources):
        shown["app"] = application(sources)
        return shown["url"]

    yield show
    stop[0].call_soon_threadsafe(stop[1].set)
    thread.join(10)


@pytest.fixture(scope="module")
def phone():
    with chromium(**PHONE) as browser:
        yield browser


@pytest.fixture(scope="module")
def desk():
    with chromium(**DESK) as browser:
        yield browser


def hostile():
    """Zones that are called by what would break a careless page."""
    names = [LONG, MARKUP, TURNED, "a b/c?d#e%41"]
    packs = []
    for number, name in enumerate(names):
        gave_up = Decision(Do.GIVE_UP, Reason.GAVE_UP)
        known, history = troubled(f"p{number}", zone=name, decision=gave_up)
        packs.append((replace(known, pack=replace(known.pack, hosts=(name, LONG))), replace(history, last_error=LONG)))
    return showcase.sources(
        found=inventory(*packs, zones=[*map(zone, names), zone("y" * 200, error=LONG * 3, reason="unseen")]),
        lines=[],
        refusal=LONG,
    )


PATHS = ("", "zones/main/shop.example", "zones/main/partner.example", "zones/main/nowhere")


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_wider_than_a_phone(site, phone, path):
    phone.go(site(showcase.sources(dry_run=True)) + path)
    assert phone.run("return document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("path", ["", f"zones/main/{LONG}"])
def test_no_name_is_wider_than_a_phone_either(site, phone, path):
    phone.go(site(hostile()) + path)
    assert phone.run("return document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("path", ["", f"zones/main/{LONG}"])
def test_no_name_is_wider_than_a_window(site, desk, path):
    desk.go(site(hostile()) + path)
    assert desk.run("return document.documentElement.scrollWidth") <= DESK["width"]


def test_no_name_runs_as_a_script_or_turns_the_words_around_it(site, desk):
    desk.go(site(hostile()))
    assert desk.run("return document.title") == "4 need you · certpack-watchdog"
    assert desk.run("return document.querySelectorAll('script, [onmouseover]').length") == 0
    assert desk.run(
        "return [...document.querySelectorAll('bdi')].some(e => e.textContent.includes(arguments[0]))", TURNED
    )


def test_every_link_of_a_strange_name_leads_to_its_page(site, desk):
    url = site(hostile())
    desk.go(url)
    links = desk.run("return [...document.querySelectorAll('ul.zones a')].map(a => [a.textContent, a.href])")
    assert len(links) == 5
    for name, link in links:
        desk.go(link)
        assert desk.run("return document.querySelector('h1').textContent") == name


@pytest.mark.parametrize("path", PATHS[:2])
def test_the_browser_has_nothing_to_complain_of(site, desk, path):
    desk.complaints()
    desk.go(site(showcase.sources()) + path)
    assert desk.complaints() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS[:2])
def test_every_word_stands_out_from_its_ground(site, desk, scheme, path):
    """4.5 to 1, as WCAG 2.2 asks for text at level AA."""
    desk.prefer(scheme)
    desk.go(site(showcase.sources(dry_run=True, state_error="disk full", refusal="no")) + path)
    ratio, where = desk.run(CONTRAST)
    desk.prefer("light")
    assert ratio >= 4.5, where


def test_the_look_follows_what_the_reader_prefers(site, desk):
    grounds = []
    for scheme in ("light", "dark"):
        desk.prefer(scheme)
        desk.go(site(showcase.sources()))
        grounds.append(desk.run("return getComputedStyle(document.body).backgroundColor"))
    desk.prefer("light")
    assert grounds == ["rgb(251, 250, 248)", "rgb(22, 24, 27)"]


def test_everything_is_reached_by_keyboard_and_is_seen_to_be(site, desk):
    desk.go(site(showcase.sources()))
    seen, styles = [], set()
    for _ in range(8):
        desk.press("tab")
        seen.append(desk.run("return document.activeElement.textContent.trim()"))
        styles.add(desk.run("return getComputedStyle(document.activeElement).outlineStyle"))
    assert seen[:3] == ["Skip to the content", "legacy.example", "All about legacy.example"]
    assert styles == {"solid"}


def test_a_link_is_followed_by_keyboard(site, desk):
    desk.go(site(showcase.sources()))
    desk.press("tab")
    desk.press("tab")
    desk.press("enter")
    assert desk.run("return document.querySelector('h1').textContent") == "legacy.example"


def test_tables_stay_tables_for_screen_readers_on_a_phone(site, phone):
    phone.go(site(showcase.sources()))
    roles = phone.run("return [...document.querySelectorAll('table, tr, td, th')].map(e => e.getAttribute('role'))")
    assert set(roles) == {"table", "row", "cell", "columnheader", "rowheader"}


def test_no_word_of_a_heading_is_broken_in_a_window(site, desk):
    desk.go(site(showcase.sources()))
    lines = desk.run(
        "return [...document.querySelectorAll('thead th')].filter(e => e.getClientRects().length)"
        ".map(e => Math.round(e.clientHeight / parseFloat(getComputedStyle(e).lineHeight)))"
    )
    assert max(lines) <= 2


@pytest.mark.skipif(not shutil.which("w3m"), reason="w3m not installed (Debian: w3m)")
def test_a_text_browser_keeps_words_and_records_apart(site):
    command = ["w3m", "-dump", "-cols", "80", site(showcase.sources())]
    text = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    for line in (
        "30 packs in 31 zones; 4 need you; 1 zone not seen; last pass 9 s ago.",
        "critical shop.example (shop.example and 1 more)",
        f"TXT  {showcase.TOKENS[0].name}     {showcase.TOKENS[0].value}",
    ):
        assert line in text.splitlines(), text
