"""What must be true at the end of a history, when the world has been calm for long enough."""

from collections import defaultdict

from tests.harness.simulation.invariants import Broken
from watchdog.model.pack_ids import canonical_id
from watchdog.model.reasons import Reason, Severity
from watchdog.simulator.credentials import sees
from watchdog.state import outbox


class Ending:
    """What must be true once the world has been calm for long enough."""

    def __init__(self, history, store, rows):
        """``rows`` are the packs as those who work them remember them."""
        self._history, self._store, self._rows = history, store, rows

    def check(self):
        """Raises ``Broken``."""
        self._every_pack_was_taken_care_of(self._rows)
        self._everybody_was_told(self._rows)

    def _every_pack_was_taken_care_of(self, rows):
        world, laws, fate = self._history.world, self._history.laws, self._history.fate
        by_id = {canonical_id(row["pack_id"]): row for row in rows}
        settled = {Reason.GAVE_UP, Reason.CA_REFUSES, Reason.DISABLED}
        for zone in world.zones.values():
            if not zone.acm or not any(sees(token, zone) for token in world.scenario.tokens):
                continue
            for life in world.packs(zone.id):
                if life.status != "validation_timed_out" or life.start.type != "advanced":
                    continue
                waited = (self._history.time.true() - life.since).total_seconds()
                if waited < self._history.time.seconds - fate.calm:
                    continue
                row = by_id.get(canonical_id(life.id))
                reason = row["reason"] if row else "not known"
                waiting = reason in (Reason.BACKING_OFF, Reason.CA_RATE_LIMITED)
                held = any("rate limited" in each for each in life.errors) or laws.may_still_wait(laws.root(life.id))
                if reason not in settled and not (waiting and held):
                    when = [round(each.at) for each in laws.patches[laws.root(life.id)]]
                    raise Broken(f"{life.id} is timed out for {waited:.0f} s, {reason}; PATCHes at {when}; {row}")

    def _everybody_was_told(self, rows):
        kept = outbox.load(self._store)
        if kept.messages:
            raise Broken(f"{len(kept.messages)} letters were not delivered")
        told = self._stories()
        for fingerprint, state in kept.log.states.items():
            alert = state.alert
            story = told[_story(alert.zone_id, alert.hosts, alert.body, fingerprint)]
            alone = alert.severity is Severity.CRITICAL
            known = [severity for name, (severity, _) in story.items() if name == fingerprint or not alone]
            if state.phase.fires and not any(severity.rank >= alert.severity.rank for severity in known):
                raise Broken(f"nobody was told of {alert.summary!r}: {story}, {state}")
        given_up = {(row["zone"], tuple(row["hosts"])) for row in rows if row["reason"] == Reason.GAVE_UP}
        logged = [state.alert for state in kept.log.states.values() if not state.phase.ended]
        known = {(alert.zone, alert.hosts) for alert in logged if alert.reason is Reason.GAVE_UP}
        if given_up - known:
            raise Broken(f"given up and not in the alert log: {given_up - known}")

    def _stories(self):
        """What people were told that is not over for them, by pack: an end is that of all that is no graver, but for
        what is said in the same moment.

        What is gone is so alone: a pack that a strange word made another for a while is gone, and there.
        """
        told = defaultdict(dict)
        for letter in self._history.people.letters():
            for alert in letter["alerts"]:
                name, severity = alert["fingerprint"], Severity(alert["severity"])
                which = _story(alert["zone_id"], alert["hosts"], alert["body"], name)
                if alert["kind"] == "gone":
                    told[which].pop(name, None)
                elif alert["kind"] == "over":
                    told[which] = {
                        each: (other, at)
                        for each, (other, at) in told[which].items()
                        if other.rank > severity.rank or (at == letter["at"] and each != name)
                    }
                else:
                    told[which][name] = severity, letter["at"]
        return told


def _story(zone_id, hosts, body, fingerprint):
    """The pack that an alert is about, by hosts and authority; an alert about none is a story of its own."""
    authority = body.partition("(")[2].partition(")")[0]
    return (zone_id, *hosts, authority) if hosts else fingerprint
