"""How Alembic runs: on the connection that ``sqlite`` slots in, inside the transaction it has already begun."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
