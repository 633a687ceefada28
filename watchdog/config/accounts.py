"""The blocks under ``accounts``: credentials, how much of Cloudflare's allowance is used, which zones are found."""

from datetime import timedelta

from pydantic import Field, model_validator

from watchdog.config.block import Block
from watchdog.config.secrets import Secret
from watchdog.config.types import Credential, Duration, Email, Float, Integer, Pattern


class RateLimit(Block):
    """How much of Cloudflare's allowance for this credential the watchdog may use."""

    requests: Integer = Field(
        default=1200,
        ge=1,
        le=1_000_000,
        description="Requests that Cloudflare allows within `per`. Its own limit is 1200 in 5m for every user.",
    )
    per: Duration = Field(
        default=timedelta(minutes=5),
        description="The window of `requests`, a duration.",
    )
    share: Float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="The part of it for the watchdog, above 0, at most 1. The limit is counted together with the"
        " dashboard and every other tool of that user, and going over it blocks all of them: half is left to them.",
    )

    @model_validator(mode="after")
    def _leaves_something(self) -> "RateLimit":
        if self.requests * self.share < 1:
            raise ValueError("requests times share must be at least 1, or nothing could ever be asked")
        return self


class Discover(Block):
    """Which of the zones that the credential can see are watched as well. Patterns: `*` stands for any text."""

    include: tuple[Pattern, ...] = Field(
        default=("*",),
        min_length=1,
        description="Patterns of zone names to watch; all zones by default.",
    )
    exclude: tuple[Pattern, ...] = Field(
        default=(),
        description="Patterns of zone names to leave alone, stronger than `include`; none by default.",
    )


def _begins(secret: Secret | None, *beginnings: str) -> bool:
    return secret is not None and not secret.unread and secret.get_secret_value().startswith(beginnings)


class AccountConfig(Block):
    """One credential: an API token, or the older pair of email and Global API Key."""

    api_token: Credential | None = Field(
        default=None,
        description="An API token with the permissions SSL and Certificates Write, and Zone Read.",
    )
    api_email: Email | None = Field(
        default=None,
        description="The user's email address, together with `api_key`. A token is safer: it can do less.",
    )
    api_key: Credential | None = Field(
        default=None,
        description="The user's Global API Key, together with `api_email`.",
    )
    rate_limit: RateLimit = Field(
        default=RateLimit(),
        description="How much of Cloudflare's allowance for this credential the watchdog may use.",
    )
    discover: Discover | None = Field(
        default=None,
        description="Also watch zones found through the API. Left out: only the zones listed under `zones`.",
    )

    @model_validator(mode="after")
    def _one_credential(self) -> "AccountConfig":
        if self.api_token is not None and (self.api_email is not None or self.api_key is not None):
            raise ValueError("has both an api_token and an api_email or api_key; keep one")
        if self.api_email is not None and self.api_key is None:
            raise ValueError("has an api_email without its api_key or api_key_file")
        if self.api_key is not None and self.api_email is None:
            raise ValueError("has an api_key without its api_email")
        if self.api_token is None and self.api_key is None:
            raise ValueError("has no credentials: give it an api_token_file (or api_token, or api_email with api_key)")
        # Since 2026 a credential says what it is (Cloudflare's documentation, "Token formats").
        if _begins(self.api_token, "cfk_"):
            raise ValueError(
                "has a global API key as its api_token (it begins with cfk_): give it as api_key with api_email, or"
                " better make an API token"
            )
        if _begins(self.api_key, "cfut_", "cfat_"):
            raise ValueError("has an API token as its api_key (it begins with cfut_ or cfat_): give it as api_token")
        return self
