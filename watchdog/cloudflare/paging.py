"""All pages of one list, until the last: whatever a server says of them, this ends. ``client`` alone calls it."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from watchdog.cloudflare.envelope import PageInfo
from watchdog.cloudflare.errors import CloudflareFault, Operation

PER_PAGE = 50
"""Packs and zones per page: the most Cloudflare allows for both lists."""

MOST_PAGES = 2_000
"""A list that is longer than this (100,000 entries) is not a list but a fault."""


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Listed = TypeVar("Listed", bound=_HasId)


async def read_all(
    operation: Operation, page_of: Callable[[str], Awaitable[tuple[list[Listed], PageInfo]]]
) -> list[Listed]:
    """Read pages until the last that ``result_info`` names (else a short one), or one that brings nothing new.

    ``page_of`` reads the page that a query names. Gives each entry once, by its id. Raises ``CloudflareFault`` where
    the list does not end.

    Whether every zone honours ``page`` is not certain, so a reader that waits for an empty page may never end. A page
    may look short because an entry of it was no pack at all, so the number of pages is believed before it.
    """
    found: dict[str, Listed] = {}
    for page in range(1, MOST_PAGES + 1):
        items, info = await page_of(f"page={page}&per_page={PER_PAGE}")
        before = len(found)
        for item in items:
            found.setdefault(item.id, item)
        last = page >= info.total_pages if info.total_pages else len(items) < (info.per_page or PER_PAGE)
        if last or len(found) == before:
            return list(found.values())
        if len(found) > MOST_PAGES * PER_PAGE:
            break
    raise CloudflareFault(operation, "malformed", f"{operation}: the list does not end after {page} pages")
