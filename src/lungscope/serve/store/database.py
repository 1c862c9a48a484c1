"""Opening a database and bringing its tables to the present version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from lungscope.errors import ConfigError, OutputError, RuntimeUnavailable

MIGRATIONS = Path(__file__).parent / "migrations"
LOCK = 0x10C5C09E
"""Of PostgreSQL, held while tables are brought up to date; any number that others do not use."""
BUSY_S = 30


def open_database(url: str) -> Engine:
    """Connect and migrate; SQLite syncs every commit to disk.

    Raises:
        ConfigError: the URL is wrong or names another kind of database.
        RuntimeUnavailable: PostgreSQL's driver is not installed.
        OutputError: the database cannot be reached or written, or is of a later version.
    """
    engine = _engine(url)
    try:
        with engine.execution_options(write=True).begin() as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        engine.dispose()
        raise OutputError(
            f"The store is of a later version than this Lungscope ({error}). Upgrade Lungscope."
        ) from None
    except SQLAlchemyError as error:
        engine.dispose()
        raise _unreachable(error) from None
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that changes nothing; its queries see one and the same moment.

    Raises:
        OutputError: the store does not answer.
    """
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
    except SQLAlchemyError as error:
        raise _unreachable(error) from error


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction: all of it is on disk when the block ends, or nothing.

    Raises:
        OutputError: the store does not answer, or has no room.
    """
    try:
        with engine.execution_options(write=True).begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise _unreachable(error) from error


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() == "sqlite":
            return _sqlite(create_engine(parsed, connect_args={"timeout": BUSY_S}))
        if parsed.drivername == "postgresql+psycopg":
            return create_engine(parsed, pool_pre_ping=True, pool_size=10)
    except (ArgumentError, NoSuchModuleError, ValueError):
        pass
    except ImportError:
        raise RuntimeUnavailable(
            "PostgreSQL's driver is not installed. Run: pip install 'lungscope[postgresql]'."
        ) from None
    raise ConfigError("--database is no URL that is understood. Write sqlite:///FILE or postgresql://USER@HOST/NAME.")


def _sqlite(engine: Engine) -> Engine:
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # the driver would begin too late to hold the lock while reading
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _unreachable(error: SQLAlchemyError) -> OutputError:
    # The message of a database repeats values and addresses; its kind is enough here.
    kind = type(getattr(error, "orig", None) or error).__name__
    return OutputError(f"The store cannot be reached or written ({kind}). Check the database and the disk.")
