"""What programs are told of the API: an OpenAPI 3.1 document, made from the tables the API itself reads."""

from collections.abc import Mapping
from typing import Any

from watchdog.model.decisions import Do
from watchdog.model.findings import Certainty, FindingName
from watchdog.model.pack_ids import SHORTEST_PREFIX
from watchdog.model.reasons import Reason, Severity
from watchdog.tell import api
from watchdog.tell.query import Parameter
from watchdog.tell.sources import Sources

_TIME = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


def _object(properties: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": dict(properties), "required": list(properties), **more}


def _list(name: str) -> dict[str, Any]:
    return {"type": "array", "items": _schema(name)}


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_NEXT = {**_or_null(_TEXT), "description": "Give this as `after` for what follows; null where that is all."}
_SEVERITY = {"enum": [str(each) for each in Severity]}
_RECORD = _object({"type": _TEXT, "name": _TEXT, "value": _TEXT}, description="A DNS record that a person places.")
_FINDING = _object(
    {
        "name": {"enum": [str(each) for each in FindingName]},
        "certainty": {"enum": [str(each) for each in Certainty]},
        "host": _or_null(_TEXT),
        "says": _TEXT,
        "remedy": _TEXT,
        "record": {"anyOf": [_RECORD, {"type": "null"}], "description": "The record that would mend it."},
    }
)
_PACK = _object(
    {
        "account": _TEXT,
        "zone": _TEXT,
        "zone_id": _TEXT,
        "pack_id": _TEXT,
        "type": _TEXT,
        "hosts": {"type": "array", "items": _TEXT},
        "status": _TEXT,
        "since": {**_TIME, "description": "Since when it has this status."},
        "decision": {"enum": [str(each) for each in Do]},
        "reason": {**_TEXT, "description": "Why that was decided; a word of docs/reasons.md."},
        "attempts": {**_COUNT, "description": "Restarts since it was last well."},
        "last_restart_at": _or_null(_TIME),
        "next_restart_at": _or_null(_TIME),
        "expires_at": {**_or_null(_TIME), "description": "When the first of its certificates ends."},
        "last_error": _or_null(_TEXT),
        "needs_person": {"type": "boolean", "description": "Whether an alert of at least `warning` holds about it."},
        "severity": {**_or_null(_SEVERITY), "description": "Of the gravest alert about it."},
        "why": {**_or_null(_TEXT), "description": "What that alert says of it."},
        "next_step": {**_TEXT, "description": "What a person does where one is needed, else what the watchdog does."},
        "silenced_until": _or_null(_TIME),
        "findings": {"type": "array", "items": _FINDING},
        "records": {"type": "array", "items": _RECORD},
    },
    description="One certificate pack.",
)
_ZONE = _object(
    {
        "account": _TEXT,
        "zone": _TEXT,
        "zone_id": _or_null(_TEXT),
        "packs": _COUNT,
        "last_success_at": {**_or_null(_TIME), "description": "When it was last seen whole."},
        "last_look_at": _or_null(_TIME),
        "reason": {**_or_null(_TEXT), "description": "Why it was not seen at the last look; null where it was."},
        "last_error": _or_null(_TEXT),
    },
    description="One zone.",
)
_EVENT = _object(
    {
        "at": _TIME,
        "event": {**_TEXT, "description": "A name of docs/logs.md."},
        "account": _or_null(_TEXT),
        "zone": _or_null(_TEXT),
        "zone_id": _or_null(_TEXT),
        "pack_id": _or_null(_TEXT),
        "reason": _or_null(_TEXT),
        "detail": _or_null(_TEXT),
    },
    description="One thing that happened.",
)
_ALERT = _object(
    {
        "fingerprint": _TEXT,
        "reason": {"enum": [str(each) for each in Reason]},
        "severity": _SEVERITY,
        "account": _or_null(_TEXT),
        "zone": _or_null(_TEXT),
        "zone_id": _or_null(_TEXT),
        "pack_id": _or_null(_TEXT),
        "hosts": {"type": "array", "items": _TEXT},
        "summary": _TEXT,
        "body": _TEXT,
        "records": {"type": "array", "items": _RECORD},
        "since": _TIME,
        "restarts": _COUNT,
        "runbook": _TEXT,
        "last_said_at": _or_null(_TIME),
        "silenced_until": {**_or_null(_TIME), "description": "Nobody is told of it before."},
    },
    description="One alert that fires.",
)
_SILENCE = _object(
    {
        "id": _COUNT,
        "account": _TEXT,
        "zone": _TEXT,
        "zone_id": _or_null(_TEXT),
        "pack_id": {**_or_null(_TEXT), "description": "Null where it is about the whole zone."},
        "created_at": _TIME,
        "until": _TIME,
        "comment": _TEXT,
    },
    description="One silence: until then nobody is told of this zone or pack.",
)
_ERROR = _object({"error": _object({"code": _TEXT, "message": _TEXT})})


def document(sources: Sources, version: str) -> dict[str, Any]:
    """The document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "certpack-watchdog",
            "version": version,
            "summary": "What the watchdog remembers of certificate packs. Read-only.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            "/api/v1/packs": _get(
                "listPacks",
                "Every pack, in the order of account, zone and id.",
                _object({"packs": _list("Pack"), "zones": _list("Zone"), "next": _NEXT}),
                api.PACKS,
            ),
            "/api/v1/packs/{zone_id}/{pack_id}": _get(
                "getPack",
                "One pack, with what happened to it.",
                {"allOf": [_schema("Pack"), _object({"events": _list("Event")})]},
                path={
                    "zone_id": {"type": "string", "pattern": "^[^/]+$"},
                    "pack_id": {
                        "type": "string",
                        "pattern": f"^[0-9A-Za-z_-]{{{SHORTEST_PREFIX},64}}$",
                        "description": "The id, or how it begins where no other pack of the zone begins so.",
                    },
                },
                reads_the_journal=True,
            ),
            "/api/v1/zones": _get(
                "listZones",
                "Every zone, in the order of account and name.",
                _object({"zones": _list("Zone"), "next": _NEXT}),
                api.ZONES,
            ),
            "/api/v1/events": _get(
                "listEvents",
                "What happened, newest first.",
                _object({"events": _list("Event"), "next": _NEXT}),
                api.events_parameters(sources),
                reads_the_journal=True,
            ),
            "/api/v1/alerts": _get("listAlerts", "What fires, the gravest first.", _object({"alerts": _list("Alert")})),
            "/api/v1/silences": _get(
                "listSilences", "The silences that hold.", _object({"silences": _list("Silence")})
            ),
            "/api/v1/openapi.json": _get("getOpenapi", "This document.", {"type": "object"}),
        },
        "components": {
            "schemas": {
                "Pack": _PACK,
                "Zone": _ZONE,
                "Event": _EVENT,
                "Alert": _ALERT,
                "Silence": _SILENCE,
                "Error": _ERROR,
            }
        },
    }


def _get(
    name: str,
    summary: str,
    answer: Mapping[str, Any],
    parameters: Mapping[str, Parameter] | None = None,
    path: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    reads_the_journal: bool = False,
) -> dict[str, Any]:
    known: list[dict[str, Any]] = [
        {"name": name, "in": "query", "description": parameter.says, "schema": dict(parameter.schema)}
        for name, parameter in (parameters or {}).items()
    ]
    known += [{"name": name, "in": "path", "required": True, "schema": schema} for name, schema in (path or {}).items()]
    wrong = {"400": "An unknown parameter or value; the message names the known ones."}
    wrong |= {"404": "There is no such pack."} if path else {}
    wrong |= {"503": "The journal cannot be read now."} if reads_the_journal else {}
    responses: dict[str, Any] = {
        "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
        "304": {"description": "Nothing has changed since the `ETag` that was sent as `If-None-Match`."},
    }
    for status, says in wrong.items():
        content = {"application/json": {"schema": _schema("Error")}}
        responses[status] = {"description": says, "content": content}
    return {"get": {"operationId": name, "summary": summary, "parameters": known, "responses": responses}}
