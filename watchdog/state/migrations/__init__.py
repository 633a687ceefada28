"""The steps from one shape of the tables to the next, run by ``upgrade`` through Alembic. Nothing else imports them."""
