"""From a destination of the configuration to its route (what it wants) and its channel (the way there).

A new kind of channel is a file of its own and a branch here. ``destinations`` runs the channels; who only looks whether
one works asks here: ``test-alert``, ``check-config`` and a reload.
"""

import asyncio

import msgspec

from watchdog.config.schema import Config, Destination
from watchdog.model.alerts import Route
from watchdog.model.clock import Clock
from watchdog.model.reasons import Severity
from watchdog.notify.alertmanager import Alertmanager
from watchdog.notify.apprise import Service
from watchdog.notify.channel import Channel, Undelivered
from watchdog.notify.http import HttpSender
from watchdog.notify.messages import trial_message
from watchdog.notify.pagerduty import PagerDuty
from watchdog.notify.webhook import Webhook


def route_of(destination: Destination) -> Route:
    """What a destination wants."""
    incidents = destination.pagerduty is not None
    return Route(Severity(destination.min_severity), frozenset(destination.reasons), destination.zones, incidents)


def channel_of(destination: Destination, http: HttpSender, clock: Clock) -> Channel:
    """The way to a destination."""
    if destination.alertmanager is not None:
        return alertmanager_of(destination, http)
    if destination.webhook is not None:
        secret = destination.secret.get_secret_value() if destination.secret is not None else ""
        return Webhook(destination.webhook.get_secret_value(), secret, http, clock.now)
    if destination.pagerduty is not None:
        return PagerDuty(destination.pagerduty.get_secret_value(), destination.pagerduty_url or "", http)
    return Service(destination.url.get_secret_value() if destination.url is not None else "")


def alertmanager_of(destination: Destination, http: HttpSender) -> Alertmanager:
    """An Alertmanager, which is also told what fires."""
    url = destination.alertmanager.get_secret_value() if destination.alertmanager is not None else ""
    return Alertmanager(url, http, route_of(destination), heartbeat=destination.heartbeat)


class Tried(msgspec.Struct, frozen=True):
    """What became of a test at one destination; ``error`` is empty when it was accepted."""

    destination: str
    error: str = ""


async def try_out(config: Config, name: str, clock: Clock, http: HttpSender) -> list[Tried]:
    """``test-alert``: send a marked test to one destination, or with no ``name`` to all of them.

    Nothing is kept, so nothing is tried again.
    """
    found = [each for each in config.alerts.destinations if name in ("", each.name)]

    async def attempt(destination: Destination) -> Tried:
        to = destination.name or ""
        try:
            await channel_of(destination, http, clock).send(trial_message(to, clock.now()))
        except Undelivered as why:
            return Tried(to, str(why))
        return Tried(to)

    try:
        return list(await asyncio.gather(*map(attempt, found)))
    finally:
        await http.close()


async def unusable(config: Config) -> list[str]:
    """``check-config``: a sentence for each destination to which nothing can ever be sent. Connects to none."""
    faults = []
    for destination in config.alerts.destinations:
        if destination.url is not None:
            try:
                await Service(destination.url.get_secret_value()).check()
            except Undelivered as why:
                faults.append(f"alerts.destinations[{destination.name}].url: {why}")
    return faults
