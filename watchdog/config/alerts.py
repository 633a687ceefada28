"""The blocks under ``alerts``: whom to tell, where, and how often."""

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from watchdog.config.block import Block
from watchdog.config.durations import format_duration
from watchdog.config.types import (
    AlertReason,
    BaseUrl,
    Boolean,
    Credential,
    DestinationName,
    Duration,
    Pattern,
    ServiceAddress,
    WebAddress,
)

_SHORTEST_REPEAT = timedelta(hours=1)


class Destination(Block):
    """Where alerts go: exactly one of `url`, `alertmanager`, `webhook` and `pagerduty`, and what is wanted there."""

    name: DestinationName | None = Field(
        default=None,
        description="What logs, metrics and `test-alert` call it; letters, digits and - _ . (at most 63). Messages that"
        " wait are kept under it. No default.",
    )
    url: ServiceAddress | None = Field(
        default=None,
        description="An Apprise URL with one target: Slack, Teams, mail, ntfy and a hundred more. A secret. Not for"
        " services that keep incidents: Apprise cannot close them.",
    )
    alertmanager: WebAddress | None = Field(
        default=None,
        description="The URL of an Alertmanager (API v2), without /api/v2. It is told what holds every minute, and"
        " resolves it when the daemon dies.",
    )
    webhook: WebAddress | None = Field(
        default=None,
        description="A URL that messages are POSTed to as JSON. A secret.",
    )
    pagerduty: Credential | None = Field(
        default=None,
        description="The integration key of a PagerDuty service (Events API v2). Each alert is an incident of its own,"
        " which closes by itself when the alert is over. A secret.",
    )
    pagerduty_url: BaseUrl | None = Field(
        default=None,
        description="Where the `pagerduty` events go, instead of https://events.pagerduty.com, such as"
        " https://events.eu.pagerduty.com.",
    )
    secret: Credential | None = Field(
        default=None,
        description="Signs what goes to the `webhook`, with HMAC-SHA256. Left out: unsigned.",
    )
    heartbeat: Boolean = Field(
        default=False,
        description="Whether the `alertmanager` is also told an alert that always fires, for a rule that wants to know"
        " when it ceases.",
    )
    min_severity: Literal["info", "warning", "critical"] = Field(
        default="info",
        description="The least severe that is wanted there.",
    )
    reasons: tuple[AlertReason, ...] = Field(
        default=(),
        description="The reasons that are wanted there; all of them by default.",
    )
    zones: tuple[Pattern, ...] = Field(
        default=(),
        description="Patterns of zone names, `*` stands for any text; all zones by default. What concerns no zone goes"
        " to every destination.",
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "Destination":
        if self.name is None:
            raise ValueError("has no name")
        kinds = ("url", "alertmanager", "webhook", "pagerduty")
        given = [kind for kind in kinds if getattr(self, kind) is not None]
        if not given:
            raise ValueError("goes nowhere: give it a url, an alertmanager, a webhook or a pagerduty key")
        if len(given) > 1:
            raise ValueError(f"has {' and '.join(given)}: keep one, or make them destinations of their own")
        if self.secret is not None and self.webhook is None:
            raise ValueError("has a secret, which only a webhook needs")
        if self.pagerduty_url is not None and self.pagerduty is None:
            raise ValueError("has a pagerduty_url without its pagerduty or pagerduty_file")
        if self.heartbeat and self.alertmanager is None:
            raise ValueError(
                "has a heartbeat, which only an alertmanager can take; see alerts.heartbeat_url for others"
            )
        return self


class Alerts(Block):
    """Whom to tell when a person is needed, and how often."""

    pending_for: Duration = Field(
        default=timedelta(hours=24),
        description="A pack that is pending for longer than this is worth a word, a duration. Validations that work"
        " take minutes; Cloudflare itself looks again for days.",
    )
    repeat_every: Duration = Field(
        default=timedelta(hours=24),
        description="How often what lasts is said again, a duration. Alertmanager repeats by its own rules.",
    )
    critical_within: Duration = Field(
        default=timedelta(minutes=1),
        description="A critical that is new waits no longer than this for others of its group, a duration, whatever the"
        " group said before. The group may speak early three times, and once more for each hour: a storm of criticals"
        " is a handful of messages.",
    )
    runbooks: str = Field(
        default="docs/runbooks/",
        min_length=1,
        max_length=500,
        description="Where the people who are told find the pages of docs/runbooks/, such as the URL of your copy of"
        " them; each message names the page of its reason there. By default their place in this program's source.",
    )
    heartbeat_url: WebAddress | None = Field(
        default=None,
        description="Asked for by GET after every completed pass, with /fail added after one that failed: a dead man's"
        " switch, as healthchecks.io and others offer. A secret. Left out: none.",
    )
    destinations: tuple[Destination, ...] = Field(
        default=(),
        description="Where alerts go. Without any, they are shown by the page and the metrics alone.",
    )

    @model_validator(mode="after")
    def _names_are_distinct(self) -> "Alerts":
        names = [destination.name for destination in self.destinations]
        if len(set(names)) < len(names):
            raise ValueError("has two destinations of one name")
        if self.repeat_every < _SHORTEST_REPEAT:
            raise ValueError(f"repeat_every must be at least {format_duration(_SHORTEST_REPEAT)}")
        return self
