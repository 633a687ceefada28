"""What can be asked about the credential itself: whether Cloudflare knows the token, and whether it reads anything.

These calls are made even with a credential that is stopped, since they are to show whether it still is refused.
``doubts`` asks them when a call was denied, ``client`` for ``check-config --online``; what an answer means for the
credential is theirs.
"""

from urllib.parse import quote

from watchdog.cloudflare import endpoints, wire
from watchdog.cloudflare.credential import TOKEN_OF_A_USER, TOKEN_OF_AN_ACCOUNT
from watchdog.cloudflare.errors import CloudflareError, CredentialRefused, Operation, Refused
from watchdog.cloudflare.retries import Retries
from watchdog.cloudflare.sender import Sender
from watchdog.cloudflare.verification import TokenSeen

MOST_OWNERS = 3
"""Accounts that are asked whether they know a token."""


class Introspection:
    """Questions about one credential, and what the answers of others showed of its owner."""

    def __init__(self, sender: Sender, retries: Retries) -> None:
        self._credential = sender.credential
        self._sender = sender
        self._retries = retries
        self._accounts: dict[str, None] = {}  # ids of Cloudflare's accounts that zones were seen in

    def zones(self, body: bytes) -> endpoints.PageOfZones:
        """The zones of an answer, as ``wire.zones`` reads them; the accounts they are in may own the token."""
        found, info = wire.zones(body)
        self._accounts.update(dict.fromkeys(zone.account for zone in found if zone.account))
        return found, info

    def may_verify(self) -> bool:
        """Whether there is an address where Cloudflare may know this credential by."""
        return self._credential.is_token and bool(self._accounts or self._credential.form != TOKEN_OF_AN_ACCOUNT)

    def verifies_surely(self) -> bool:
        """Whether a token that is not known there is known nowhere: an unknown account may own an older one."""
        return bool(self._credential.form or self._accounts)

    async def verify(self) -> TokenSeen:
        """Ask where the token may be known: with its user, with the accounts whose zones were seen, or with both."""
        form, accounts = self._credential.form, [f"/accounts/{quote(each, safe='')}" for each in self._accounts]
        owners = [] if form == TOKEN_OF_AN_ACCOUNT else ["/user"]
        owners += [] if form == TOKEN_OF_A_USER else accounts[:MOST_OWNERS]
        last: CloudflareError = Refused(
            Operation.VERIFY_TOKEN,
            "",
            "verify_token: a token that an account owns can be verified only once a zone of that account was seen",
            sent=False,
        )
        for owner in owners:
            try:
                return await self._retries.get(endpoints.verify_token(owner))
            except CredentialRefused as refused:
                last = refused
        raise last

    async def read(self, zone_id: str) -> None:
        """Read a little of this zone."""
        await self._sender.send(endpoints.a_few_packs(zone_id))

    async def see_zones(self) -> None:
        """List a few zones."""
        await self._sender.send(endpoints.a_few_zones(self.zones))
