"""The steps from one shape of the tables to the next, run by ``upgrade`` through Alembic. Nothing else imports them."""

HEAD = "0012"
"""The newest revision. Kept here so that an ordinary start need not import Alembic (0.3 s of CPU). Revisions
are numbered and compare as texts."""
