"""The demo's zones, each with a story, and the configuration of the daemon that watches them: an ordinary one.

Values only. Every duration is what it may be in real life; ``show`` lets the clocks of both sides run ``SPEED`` times
as fast. A story names what is wrong, and by which sign it has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from watchdog.model.event_names import EventName
from watchdog.simulator.scenario import Scenario, zone_id

SPEED = 120
"""Seconds of the demo in one second, at ``--speed 1``."""

TOKEN = "demo-token-of-the-simulator"  # noqa: S105  opens nothing but the simulator
REVOKED = "demo-token-that-was-revoked"

TOLD, WELL, GONE, LEFT = "told", "well", "gone", "left"
"""How stories end: a person was told, the pack is active, it was deleted, nothing is to be done."""

SHOWN = "forbidden.example"
"""The zone whose alert is shown as it reaches the chat."""

_TIMED_OUT = "validation_timed_out"
_CAA = "CAA records block issuance for this domain"
_STAGES = {
    "initializing": "10s",
    "pending_validation": "2m",
    "timing_out": "20m",
    "pending_issuance": "40s",
    "pending_deployment": "30s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One zone. ``sign`` is the event that ends it; where it ends with ``TOLD``, the message in the chat does.

    ``did`` is what the watchdog did where it was neither a hold, a restart nor a recheck.
    """

    wrong: str
    ends: str
    packs: list[dict[str, Any]]
    sign: EventName | None = None
    did: str = "nothing helps"
    zone: Mapping[str, Any] = field(default_factory=dict)


def _pack(*outcomes: str, status: str = _TIMED_OUT, **more: Any) -> dict[str, Any]:
    in_story = {name: more.pop(name) for name in ("errors", "deleted_after", "stages") if name in more}
    return {
        "status": status,
        "story": {"outcomes": outcomes or ("succeeds",), "stages": _STAGES} | in_story,
        **more,
    }


STORIES: Mapping[str, Story] = {
    "recovers.example": Story(
        wrong="validation timed out", ends=WELL, sign=EventName.RECOVERED, packs=[_pack("succeeds")]
    ),
    "twice.example": Story(
        wrong="times out again", ends=WELL, sign=EventName.RECOVERED, packs=[_pack("times_out", "succeeds")]
    ),
    "renewing.example": Story(
        wrong="a renewal timed out", ends=WELL, sign=EventName.RECOVERED, packs=[_pack("succeeds", expires_in="12d")]
    ),
    SHOWN: Story(
        wrong="CAA forbids it",
        ends=WELL,
        sign=EventName.RECOVERED,
        packs=[_pack("succeeds", hosts=[SHOWN], errors=[_CAA])],
        zone={
            "type": "partial",
            "dns": {
                "tokens_after": "0s",
                "records": [
                    {"type": "CAA", "value": '0 issue "letsencrypt.org"'},
                    {"type": "CAA", "value": '0 issue "pki.goog"', "after": "40m"},
                ],
            },
        },
    ),
    "by-hand.example": Story(
        wrong="waits for a person",
        ends=WELL,
        sign=EventName.RECOVERED,
        packs=[_pack("succeeds", stages={**_STAGES, "pending_validation": "4h"})],
        zone={"type": "partial", "dns": {"tokens_after": "20m"}},
    ),
    "gives-up.example": Story(wrong="no restart helps", ends=TOLD, sign=EventName.GAVE_UP, packs=[_pack("times_out")]),
    "stuck.example": Story(wrong="deployment timed out", ends=TOLD, packs=[_pack(status="deployment_timed_out")]),
    "universal.example": Story(
        wrong="universal, timed out", ends=TOLD, sign=EventName.RECHECK_SENT, packs=[_pack(type="universal")]
    ),
    "partner.example": Story(wrong="its token was revoked", ends=TOLD, did="stops asking", packs=[_pack("succeeds")]),
    "novel.example": Story(wrong="a status nobody knows", ends=TOLD, packs=[_pack(status="quantum_entangled")]),
    "hands-off.example": Story(
        wrong="restarts turned off", ends=LEFT, sign=EventName.RESTART_HELD, did="nothing", packs=[_pack()]
    ),
    "deleted.example": Story(
        wrong="somebody deletes it",
        ends=GONE,
        sign=EventName.PACK_CHANGED,
        packs=[_pack("times_out", deleted_after="30m")],
    ),
    "flaky.example": Story(wrong="broken answers", ends=WELL, sign=EventName.RECOVERED, packs=[_pack("succeeds")]),
    "slow.example": Story(wrong="answers take 20 s", ends=WELL, sign=EventName.RECOVERED, packs=[_pack("succeeds")]),
}
"""The zones with a story. One more is well, and never mentioned."""

ZONES = ("healthy.example", *STORIES)


def scenario(speed: float = 1.0) -> Scenario:
    """The simulator's side of the demo."""
    healthy = {"name": "healthy.example", "packs": [_pack(status="active"), _pack(status="active")]}
    effect = {"takes_effect": True}
    return Scenario.model_validate(
        {
            "speed": speed,
            "tokens": [
                {"name": "main", "value": TOKEN},
                {"name": "partner", "value": REVOKED, "revoked": True},
            ],
            "zones": [
                healthy,
                *({"name": name, "packs": story.packs, **story.zone} for name, story in STORIES.items()),
            ],
            "faults": [
                {"kind": "html_error", "status": 502, "zone": "flaky.example", "method": "PATCH", "nth": 1, **effect},
                {"kind": "html_error", "status": 502, "zone": "flaky.example", "every": 3},
                {"kind": "slow", "zone": "slow.example", "delay": "20s"},
            ],
        }
    )


def configuration(base_url: str, folder: Path, listen: str, resolver: str, chat: str) -> str:
    """The daemon's side: an ordinary configuration, but for what leads it to the simulator, and for an early end."""
    zones = "\n".join(
        f"  - {{name: {name}, id: {zone_id(name)!r}, account: {'partner' if name.startswith('partner') else 'main'}"
        + (", restart: {enabled: false}}" if name.startswith("hands-off") else "}")
        for name in ZONES
    )
    return f"""
accounts:
  main: {{api_token: {TOKEN}}}
  partner: {{api_token: {REVOKED}}}
zones:
{zones}
restart: {{max_attempts: 3}}
diagnosis: {{resolvers: ["{resolver}"]}}
alerts: {{destinations: [{{name: chat, url: "{chat}", min_severity: info}}]}}
web: {{listen: "{listen}"}}
state: {{url: "sqlite:///{folder}/state.db"}}
log: {{format: console}}
api: {{base_url: "{base_url}"}}
"""
