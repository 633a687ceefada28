"""Packs as lines of JSON: what ``model.report`` says of each, put together where there is nothing to tell of it.

A fleet is mostly packs that are well and will be for weeks: their rows differ in a few words, so that making a value of
each row and JSON of that costs six times as much. ``once`` has packs, ``commands.offline`` has rows of the state.
"""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from json.encoder import encode_basestring_ascii

from watchdog.model.clock import rfc3339
from watchdog.model.decisions import Decision, Do
from watchdog.model.history import UNTROUBLED, Remembered
from watchdog.model.packs import Pack
from watchdog.model.reasons import Reason
from watchdog.model.renewal import LONGEST_WINDOW
from watchdog.model.report import Inventory, pack_row
from watchdog.tell.terminal import json_line

_PLACE = re.compile(r'\["\\u000\d"\]|"\\u000\d"')


class PlainForm:
    """The row of a pack of which there is nothing to tell at a moment, without its own words.

    ``shared`` gives three pieces. A row is, one after the other: the first piece, the pack's id, the second, its hosts,
    the third, since when it is so, ``expires``, the end of its certificate, ``rest``. Ids and hosts are JSON, times are
    by ``rfc3339`` without the Z.
    """

    def __init__(self, now: datetime) -> None:
        since, ends = now - timedelta(days=1), now + 2 * LONGEST_WINDOW
        pack = Pack(id="\3", zone_id="\2", type="\4", status="\6", hosts=("\5",), expires_at=ends)
        decision = Decision(Do.LEAVE, Reason.HEALTHY)
        known = Remembered(account="\0", zone="\1", pack=pack, since=since, seen_at=now, decision=decision)
        form = json_line(pack_row(known, UNTROUBLED, None, now))
        form = _PLACE.sub("\0", form).replace(rfc3339(since), "\0Z").replace(rfc3339(ends), "\0Z")
        # What stands before each one's own words, in the order of a row, and after the last.
        *self._before, self.expires, self.rest = form.split("\0")

    def shared(self, account: str, zone: str, zone_id: str, kind: str, status: str) -> tuple[str, str, str]:
        """What the packs of a zone have in common, if their types and statuses are the same."""
        account_, zone_, zone_id_, pack_id_, kind_, hosts_, status_, begun_ = self._before
        own = [encode_basestring_ascii(each) for each in (account, zone, zone_id, kind, status)]
        first = f"{account_}{own[0]}{zone_}{own[1]}{zone_id_}{own[2]}{pack_id_}"
        return first, f"{kind_}{own[3]}{hosts_}", f"{status_}{own[4]}{begun_}"


def pack_lines(found: Inventory) -> Iterator[str]:
    """What ``found.row`` says of each pack, as lines of JSON."""
    form, soon = PlainForm(found.at), found.at + LONGEST_WINDOW
    silenced = {(each.account, each.zone) for each in found.silenced.all}
    for each in found.by_zone:
        restless = {known.pack.id for known, _ in each.restless(soon)}
        before: tuple[str, ...] = ()
        first = second = third = ""
        for known, history in each.packs:
            pack, ends = known.pack, known.pack.expires_at
            told = pack.id in restless or pack.validation_errors or known.diagnosis is not None
            if told or ends is None or each.key in silenced:
                yield json_line(found.row(known, history))
                continue
            own = (known.account, known.zone, pack.zone_id, pack.type, pack.status)
            if own != before:
                before, (first, second, third) = own, form.shared(*own)
            pack_id, hosts = encode_basestring_ascii(pack.id), json_line(pack.hosts)
            begun, end = rfc3339(known.since)[:-1], rfc3339(ends)[:-1]
            yield f"{first}{pack_id}{second}{hosts}{third}{begun}{form.expires}{end}{form.rest}"
