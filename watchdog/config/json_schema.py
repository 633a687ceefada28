"""The configuration as operators write it, as JSON Schema.

For editors, for ``certpack-watchdog schema``, and for the question which keys a place of the file may have.

It is derived from the models, and differs from them where the file does: a secret may be given as ``x_file``, any value
may be ``${NAME}``, nothing may be null, and a zone's restart keys have no defaults of their own.
"""

from copy import deepcopy
from datetime import timedelta
from functools import cache
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from watchdog.config.document import Where
from watchdog.config.durations import format_duration
from watchdog.config.schema import PER_ACCOUNT, Config

ID = "urn:certpack-watchdog:configuration"
"""The schema's own name. It is no address: nothing fetches it."""

_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}"}
_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


class _Generator(GenerateJsonSchema):
    """Durations as operators write them, not in ISO 8601."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the file."""
    return deepcopy(_schema())


def keys_at(where: Where) -> list[str]:
    """The keys that the file may have at this place; none where it may have any, or where there is no such place."""
    node: dict[str, Any] = _schema()
    for part in where:
        block = _block(node)
        of_any_name: dict[str, Any] = next(iter(block.get("patternProperties", {}).values()), {})
        node = block.get("items", {}) if isinstance(part, int) else block.get("properties", {}).get(part, of_any_name)
    return list(_block(node).get("properties", {}))


def _block(node: dict[str, Any]) -> dict[str, Any]:
    for choice in (*node.get("anyOf", ()), *node.get("oneOf", ())):
        if "$ref" in choice:
            node = choice
    if "$ref" in node:
        named: dict[str, Any] = _schema()["$defs"][node["$ref"].rpartition("/")[2]]
        return named
    return node


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = _as_written(Config.model_json_schema(schema_generator=_Generator))
    blocks = schema["$defs"]
    for name, refers in (("RestartPolicy", {"backoff": "BackoffOverrides"}), ("Backoff", {})):
        overrides = deepcopy(blocks[name])
        for key, setting in overrides["properties"].items():
            setting.pop("default", None)
            if key in refers:
                setting["$ref"] = f"#/$defs/{refers[key]}"
        blocks[name.removesuffix("Policy") + "Overrides"] = overrides
    for key in PER_ACCOUNT:
        del blocks["RestartOverrides"]["properties"][key]
    zone = blocks["ZoneConfig"]["properties"]
    zone["restart"] = {"$ref": "#/$defs/RestartOverrides", "description": zone["restart"]["description"]}
    zone["account"].pop("default")
    schema["properties"]["accounts"]["additionalProperties"] = False
    for block in blocks.values():
        for secret in [key for key, setting in block["properties"].items() if setting.pop("writeOnly", False)]:
            block["properties"][f"{secret}_file"] = {
                "type": "string",
                "description": f"A file that holds the `{secret}`, alone; white space around it is stripped."
                " A relative path starts at the folder of the configuration.",
            }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": ID, "title": "certpack-watchdog"} | schema


def _as_written(node: Any, *, names: bool = False) -> Any:
    """A part of the models' schema as the file has it. ``names``: its keys are names, not words of JSON Schema."""
    if isinstance(node, list):
        return [_as_written(item) for item in node]
    if not isinstance(node, dict):
        return node
    if names:
        return {name: _as_written(below) for name, below in node.items()}
    node = {
        word: below if word == "default" else _as_written(below, names=word in {"properties", "$defs"})
        for word, below in node.items()
        if word not in {"title", "format"} and not (word == "default" and below is None)
    }
    if "anyOf" in node and {"type": "null"} in node["anyOf"]:
        [given] = [choice for choice in node.pop("anyOf") if choice != {"type": "null"}]
        node = given | node
    shape = {word: node.pop(word) for word in ("pattern", "enum", "const", *_BOUNDS) if word in node}
    if shape or node.get("type") in ("integer", "number", "boolean"):
        node = {"anyOf": [{"type": node.pop("type")} | shape, _VARIABLE]} | node
    return node
