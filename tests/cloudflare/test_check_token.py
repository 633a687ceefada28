"""What ``check-config --online`` and ``init`` say of a token that Cloudflare has verified."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.harness.cloudflare_client import answer, by_hand
from tests.harness.time import in_simulated_time
from watchdog.commands.check_online import check_token
from watchdog.model.clock import rfc3339

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


async def checked(**said):
    return await check_token(by_hand(answer(said)), NOW, works=True)


@pytest.mark.parametrize(
    ("left", "caution"), [(31, ""), (29, "make a new one before that"), (-1, "make a new one before that")]
)
@in_simulated_time
async def test_the_end_of_a_token_is_said_and_warned_of_a_month_before(left, caution):
    ends = rfc3339(NOW + timedelta(days=left))
    check = await checked(status="active", expires_on=ends)
    assert (check.what, check.error, check.caution) == (f"account main: token is active until {ends}", "", caution)


@in_simulated_time
async def test_a_token_without_an_end_is_active_and_no_more_is_said():
    check = await checked(status="active")
    assert (check.what, check.error, check.caution) == ("account main: token is active", "", "")


@pytest.mark.parametrize("status", ["expired", "disabled"])
@in_simulated_time
async def test_a_token_that_is_over_counts_as_refused(status):
    check = await checked(status=status)
    assert (check.what, check.error) == (f"account main: token is {status}", "make a new one")
    assert check.unreachable
