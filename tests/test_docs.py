"""What is promised outside is checked from inside: the docs name all there is, and nothing there is not."""

import json
import re
import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.main import get_command

from tests.harness.builders import NOW, exposed, inventory, troubled
from tests.harness.handbook import PAGES, ROOT, code_in, log_events, page, table_rows, words
from watchdog.cli import app
from watchdog.cloudflare.errors import KNOWN_CODES, Operation
from watchdog.config.json_schema import json_schema
from watchdog.model.decisions import Do
from watchdog.model.event_names import EVENTS, EventName
from watchdog.model.findings import FindingName
from watchdog.model.history import Sent
from watchdog.model.meanings import REASONS
from watchdog.model.reasons import Reason
from watchdog.model.report import PassReport
from watchdog.tell.gauges import PREFIX, Account, ReplicaSnapshot, Snapshot
from watchdog.tell.metrics import Metrics
from watchdog.tell.pages import routed
from watchdog.tell.sources import Sources

COMMANDS = get_command(app).commands


def options_of(command):
    """Its options, and those of the commands it has."""
    own = {option for parameter in command.params for option in parameter.opts}
    return own.union(*(options_of(each) for each in getattr(command, "commands", {}).values()))


EVERYTHING = "\n".join(path.read_text() for path in PAGES)
CODE = [text for path in PAGES for text in code_in(path.read_text())]


def metric_families():
    """Every metric as it is exposed, with a sample of each."""
    metrics = Metrics("1", KNOWN_CODES)
    metrics.called("main", "get_pack", 502, 0.1, "http_502")
    metrics.passed(PassReport(NOW), NOW)
    body, _ = exposed(
        metrics,
        Snapshot(
            inventory=inventory(troubled()),
            accounts=(Account("main", 1, 0.0, NOW),),
            firing={("gave_up", "critical"): 0},
            destinations=("ops",),
            replica=ReplicaSnapshot(held={"main": True}, transitions={}, config="c0ffee"),
        ),
        "",
    )
    for family in text_string_to_metric_families(body.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        yield name, family.type, {label for sample in family.samples for label in sample.labels} - {"le"}


METRICS = {name: (kind, labels) for name, kind, labels in metric_families() if name.startswith(PREFIX)}


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_documented_with_its_type_and_labels(name):
    kind, labels = METRICS[name]
    documented = {row[0][0]: row[1:] for row in table_rows(page("metrics.md"))}
    said_kind, said_labels, meaning = documented[name]
    assert (said_kind, set(words(said_labels))) == (kind, labels)
    assert meaning


def test_the_docs_name_no_metric_that_is_not_there():
    said = set(re.findall(rf"{PREFIX}[a-z_]*[a-z]", EVERYTHING))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in said} <= METRICS.keys()


def test_the_values_of_closed_labels_are_documented():
    text = page("metrics.md")
    assert {*Operation, *Sent, *Do} - set(words(text)) == set()
    spelled = {code for code in KNOWN_CODES if not re.fullmatch(r"(http_)?\d+", code)}
    assert spelled - set(words(text)) == set()


def test_queries_ask_for_labels_that_exist():
    for name, selector in re.findall(rf"({PREFIX}[a-z_]+)\{{([^}}]*)\}}", EVERYTHING):
        _, labels = METRICS[re.sub("_(bucket|sum|count)$", "", name)]
        assert set(re.findall(r"(\w+) ?[=!]~?", selector)) <= labels | {"le"}, name


def test_queries_ask_for_reasons_that_exist():
    for asked in re.findall(r'reason=~?"([^"]+)"', EVERYTHING):
        assert set(asked.split("|")) <= set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_place_in_the_docs_that_says_what_it_means_what_happens_and_what_to_do(reason):
    section = re.search(rf"(?ms)^### `{reason}`\n\n(.+?)(?=^##|\Z)", page("reasons.md"))
    assert section, f"docs/reasons.md has no heading ### `{reason}`"
    assert re.search(r"(?m)^\*\*Next:\*\* \S", section[1])
    assert re.search(r"(?m)^\*\*You:\*\* \S", section[1])
    assert section[1].startswith("*Needs a person.*") is REASONS[reason].needs_a_person


def test_the_docs_explain_no_reason_that_is_not_there():
    assert set(re.findall(r"(?m)^### `(.+)`$", page("reasons.md"))) == set(Reason)


def test_every_finding_is_documented_and_no_other():
    named = [name for names, *_ in table_rows(page("reasons.md")) for name in names]
    assert sorted(named) == sorted(FindingName)


def test_every_log_event_is_documented_with_its_levels_and_fields_and_no_other():
    assert log_events() == {str(name): (set(kind.levels), set(kind.fields)) for name, kind in EVENTS.items()}


def test_every_name_of_the_vocabulary_is_that_of_an_event_which_is_written_somewhere():
    source = "".join(path.read_text() for path in (ROOT / "watchdog").rglob("*.py"))
    uses = {name: len(re.findall(rf"EventName\.{name.name}\b", source)) for name in EventName}
    assert [name for name, count in uses.items() if count < 2] == []  # the table's own, and one more


def test_every_command_is_documented_with_its_options():
    table = {names[0].split()[0]: " ".join(names) for names, *_ in table_rows((ROOT / "README.md").read_text())}
    listed = " ".join(table.values())
    for name, command in COMMANDS.items():
        assert re.search(rf"\b{name}\b", listed), name
        for parameter in command.params:
            if parameter.param_type_name == "option" and name in table and parameter.name != "config":
                assert parameter.opts[0] in table[name] or name in {"demo", "simulate"}, f"{name} {parameter.opts[0]}"


def test_the_docs_name_no_command_or_option_that_is_not_there():
    for text in CODE:
        for name, rest in re.findall(r"(?m)(?:^|[ /])certpack-watchdog ([a-z][a-z-]*)((?: [^\n|;&]*)?)", text):
            if re.search(rf"(systemctl|docker|pipx|journalctl|podman)[^\n]*certpack-watchdog {name}", text):
                continue
            assert name in COMMANDS, text
            options = options_of(COMMANDS[name]) | {"--help"}
            assert set(re.findall(r"(?<!\S)\[?(--?[a-z][a-z-]*)", rest.partition("#")[0])) <= options, text


def test_every_exit_code_is_documented_where_the_commands_are():
    told = re.search(r"(?s)Exit codes: (.+?)\n\n", (ROOT / "README.md").read_text())
    assert set(re.findall(r"\b\d+\b", told[1])) >= {"0", "1", "2", "69", "74", "75", "78"}


def endpoints():
    nothing = Sources(**dict.fromkeys(Sources.__struct_fields__))
    return {route.path for route in routed(nothing).routes}


def test_every_endpoint_is_documented_and_no_other():
    documented = {names[0] for names, *_ in table_rows(page("metrics.md")) if names[0].startswith("/")}
    assert documented == endpoints()


def test_the_docs_name_no_endpoint_that_is_not_there():
    assert set(re.findall(r"(?<![\w.}])/(?:api/v1/\w+(?:\.json)?|healthz|readyz|metrics)\b", EVERYTHING)) <= endpoints()


def settings(schema, block, path=""):
    """Every dotted path of the configuration; what has a name of its choice is ``*``."""
    if "$ref" in block:
        block = schema["$defs"][block["$ref"].rpartition("/")[2]]
    for name, below in block.get("properties", {}).items():
        yield f"{path}{name}"
        yield from settings(schema, below, f"{path}{name}.")
    for below in (*block.get("patternProperties", {}).values(), *([block["items"]] if "items" in block else [])):
        yield from settings(schema, below, f"{path}*.")
    for below in block.get("anyOf", ()):
        yield from settings(schema, below, path)


def test_the_docs_name_no_setting_that_is_not_there():
    schema = json_schema()
    known = set(settings(schema, schema))
    blocks = "|".join(schema["properties"])
    said = {text for code in CODE for text in re.findall(rf"^(?:{blocks})(?:\.[a-z_]+)+$", code)}
    assert said
    files = {name for name in said if (ROOT / "watchdog" / name).exists()}
    assert said - known - files - {"api.cloudflare.com"} == set()


@pytest.mark.real
@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool not installed (Debian: prometheus)")
def test_promtool_takes_every_query_of_the_docs(tmp_path):
    panels = re.search(r"(?ms)^```promql\n(.*?)^```", page("metrics.md"))[1]
    queries = [line for line in panels.splitlines() if line and not line.startswith("#")]
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "panels.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": recorded}]}))
    command = ["promtool", "check", "rules", "--lint-fatal", str(tmp_path / "panels.yml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def anchors(path):
    """What a link may name within a page: its headings, as GitHub spells them."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", path.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))


@pytest.mark.parametrize("path", [*PAGES, *RUNBOOKS, ROOT / "CHANGELOG.md"], ids=lambda path: path.name)
def test_prose_wraps_at_100_columns(path):
    prose = re.sub(r"(?ms)^ *```.*?^ *```", "", path.read_text())
    assert [line for line in prose.splitlines() if len(line) > 100 and not line.lstrip().startswith("|")] == []


@pytest.mark.parametrize("path", [*PAGES, *RUNBOOKS], ids=lambda path: path.name)
def test_links_within_the_source_lead_somewhere(path):
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", path.read_text()):
        name, _, anchor = link.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.exists(), link
        assert not anchor or anchor in anchors(there), link


def test_every_make_target_says_what_it_does_and_the_docs_name_no_other():
    told = set(re.findall(r"(?m)^([a-z-]+):.*## \S", (ROOT / "Makefile").read_text()))
    declared = re.search(r"(?m)^\.PHONY: (.+)$", (ROOT / "Makefile").read_text())[1].split()
    assert set(declared) - told == {"packages"}
    commands = [line for code in CODE for line in code.splitlines() if line.startswith("make ")]
    assert {line.split()[1] for line in commands} <= told


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_to_reasons_lead_somewhere(path):
    anchors = {"findings", *Reason}
    for anchor in re.findall(r"\]\((?:[\w/]*reasons\.md)#([\w-]+)\)", path.read_text()):
        assert anchor in anchors
