"""What Alembic runs: the migrations, on the connection that :func:`inference.store_engine.upgrade` brings."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from inference.store_schema import metadata

connection = context.config.attributes["connection"]
if not isinstance(connection, Connection):
    raise TypeError("migrations are run by 'wardwave record', not by the alembic command")
context.configure(
    connection=connection,
    target_metadata=metadata,
    # SQLite changes a table by copying it.
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
