"""What is shipped beside the code keeps step with it: the example and the editors' schema."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from watchdog.config.json_schema import keys_at
from watchdog.config.load import json_schema, load
from watchdog.config.reading import read_document
from watchdog.config.schema import Config

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config.example.yaml"


def keys(block: dict[str, Any], schema: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Every dotted key that the schema knows, with its default."""
    if "$ref" in block:
        block = schema["$defs"][block["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = {}
    for name, below in block.get("properties", {}).items():
        found |= keys(below, schema, f"{path}.{name}".removeprefix(".")) or {f"{path}.{name}".removeprefix("."): below}
    for below in (*block.get("patternProperties", {}).values(), block.get("items", {})):
        found |= keys(below, schema, f"{path}.*") if "$ref" in below else {}
    return found


def given(data: Any, path: str = "") -> dict[str, Any]:
    """Every dotted key that a file gives, with its value."""
    if isinstance(data, list):
        merged: dict[str, Any] = {}
        for item in data:
            merged |= given(item, f"{path}.*") if isinstance(item, dict) else {}
        return merged or {path: data}
    if not isinstance(data, dict):
        return {path: data}
    found: dict[str, Any] = {}
    for name, below in data.items():
        found |= given(below, f"{path}.{'*' if path == 'accounts' else name}".removeprefix("."))
    return found


@pytest.fixture
def example(tmp_path: Path) -> Config:
    text = EXAMPLE.read_text()
    for number, file in enumerate(re.findall(r"_file: (/\S+)", text)):
        (tmp_path / str(number)).write_text("https://planted.example/" if file.endswith("-url") else "planted")
        text = text.replace(file, str(tmp_path / str(number)))
    (tmp_path / "config.yaml").write_text(text)
    return load(tmp_path / "config.yaml", {})


def test_the_example_is_valid(example: Config) -> None:
    assert [ref.label for ref in example.zone_refs()] == ["example.com", "example.net"]


def test_the_example_has_every_key() -> None:
    schema = json_schema()
    known = {key for key in keys(schema, schema) if not key.startswith("zones.*.restart.")}
    shown = set(given(read_document(EXAMPLE).data))
    files, places = (
        ("alertmanager_file", "webhook_file"),
        ("url", "pagerduty", "secret"),
    )  # one of the two ways is shown for each
    elsewhere = {f"alerts.destinations.*.{key}" for key in (*files, *places)}
    elsewhere |= {"accounts.*.api_token", "accounts.*.api_key", "alerts.heartbeat_url", "state.url_file"}
    assert known - shown == elsewhere


def test_the_example_shows_the_defaults_where_there_are_any() -> None:
    schema = json_schema()
    shown = given(read_document(EXAMPLE).data)
    known = {key: below["default"] for key, below in keys(schema, schema).items() if "default" in below}
    differing = {key for key, default in known.items() if shown[key] != default}
    assert differing == {"accounts.*.discover.exclude"}  # whose comment says the default


def test_every_key_of_the_schema_is_described() -> None:
    schema = json_schema()
    assert [key for key, below in keys(schema, schema).items() if not below.get("description")] == []


def test_the_schema_for_editors_is_the_one_of_the_models() -> None:
    shipped = (ROOT / "docs" / "config.schema.json").read_text()
    assert shipped == json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def test_the_schema_refuses_unknown_keys_and_wants_nothing_but_accounts_and_the_hosts_that_name_a_pack() -> None:
    schema = json_schema()
    blocks = [schema, *schema["$defs"].values()]
    assert all(block["additionalProperties"] is False for block in blocks)
    assert schema["required"] == ["accounts"]
    wanted = {name: block["required"] for name, block in schema["$defs"].items() if block.get("required")}
    assert wanted == {"PackHosts": ["hosts"]}


def test_a_zones_restart_keys_have_no_defaults_of_their_own() -> None:
    schema = json_schema()
    overrides = [schema["$defs"][name] for name in ("RestartOverrides", "BackoffOverrides")]
    assert not any("default" in setting for block in overrides for setting in block["properties"].values())


def test_the_schema_takes_durations_and_variables_as_text() -> None:
    interval = json_schema()["$defs"]["Schedule"]["properties"]["interval"]
    assert interval["default"] == "15m"
    patterns = [choice["pattern"] for choice in interval["anyOf"]]
    assert [any(re.search(p, text) for p in patterns) for text in ("15m", "0.5s", "${X}", "15", "1h30m")] == [
        True,
        True,
        True,
        False,
        True,
    ]


def test_keys_are_known_by_their_place() -> None:
    assert "api_token_file" in keys_at(("accounts", "any"))
    assert keys_at(("zones", 7, "restart", "backoff")) == ["initial", "factor", "max", "jitter"]
    assert keys_at(("accounts",)) == []
    assert keys_at(("nowhere", 1, "x")) == []
