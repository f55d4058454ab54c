"""Alembic's entry point: one line of history for the engine and all catalogues."""

from __future__ import annotations

from alembic import context
from sqlalchemy import engine_from_config, pool

config = context.config


def _include(_object: object, name: str | None, type_: str, *_: object) -> bool:
    return not (type_ == "table" and name is not None and name.startswith("runs_"))


def _run(connection: object) -> None:
    context.configure(
        connection=connection,  # type: ignore[arg-type]  # handed over by callboard.ledger.migrate
        target_metadata=config.attributes.get("metadata"),
        version_table="alembic_version",
        include_schemas=True,
        include_object=_include,
    )
    with context.begin_transaction():
        context.run_migrations()


given = config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    engine = engine_from_config(config.get_section(config.config_ini_section, {}), poolclass=pool.NullPool)
    with engine.begin() as own:
        _run(own)
