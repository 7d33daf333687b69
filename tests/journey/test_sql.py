"""A fraud stream in PostgreSQL: payments come while the service runs, and what became of them is decided later.

The real command, its real processes, a real server; the declaration is the one of examples/fraud.
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from evertrain.core.identity import SourceName
from evertrain.process.view.situation import look_at
from evertrain.process.view.supply import SourceSituation
from evertrain.store.state import State
from evertrain.store.table import Table
from evertrain.testing.postgres import Postgres
from evertrain.testing.tree import Tree, wait_until

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fraud" / "service.py"
PASSWORD = "S3^CRET$#pass"
NOW = datetime.now(UTC).replace(microsecond=0)
DAYS, DAILY = 30, 60
ADD = "INSERT INTO payments (id, at, card, country, amount, fraud, decided) VALUES (%s, %s, %s, %s, %s, %s, %s)"


class Fraud:
    """The payments' table, and the service that reads it."""

    def __init__(self, folder: Path, server: Postgres) -> None:
        self.folder, self.server = folder, server
        self.database = server.make_database()
        self.connection: psycopg.Connection[Any] = server.connect(self.database, autocommit=True)
        self.connection.execute(
            "CREATE TABLE payments (id bigint PRIMARY KEY, at timestamptz NOT NULL, card text, country text, "
            "amount numeric(10, 2), fraud boolean, decided timestamptz)"
        )
        self.chance = random.Random(3)
        shutil.copy(EXAMPLE, folder)
        place = f"127.0.0.1:{server.port}/{self.database}"
        self.environment = {"SHOP_PASSWORD": PASSWORD, "SHOP_DATABASE": place, "EVERTRAIN_SCAN_S": "0.2"}
        self.number = 0

    def history(self) -> None:
        """A month of payments; those of the last two days are not decided yet."""
        rows = []
        for place in range(DAYS * DAILY):
            at = NOW - timedelta(days=DAYS) + timedelta(days=place / DAILY)
            rows.append(self.payment(at, decided=at + timedelta(days=1) if at < NOW - timedelta(days=2) else None))
        with self.connection.cursor() as cursor:
            cursor.executemany(ADD, rows)

    def payment(self, at: datetime, decided: datetime | None = None) -> tuple[object, ...]:
        self.number += 1
        country, amount = self.chance.choice(["de", "fr", "nl", "xx"]), round(self.chance.uniform(1, 500), 2)
        fraud = self.chance.random() < (0.7 if country == "xx" and amount > 200 else 0.03)
        card = f"c{self.chance.randrange(40)}"
        return (self.number, at, card, country, amount, fraud if decided else None, decided)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "evertrain", *words]
        return subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def source(self, name: str) -> SourceSituation:
        """How a source stands, as `evertrain status` tells it."""
        found = look_at(State.open(self.folder / "state")).sources
        none = SourceSituation(
            source=SourceName(name),
            rows=0,
            newest=None,
            fresh_within=None,
            stale=False,
            owner="",
            rows_aside=0,
            files_aside=0,
        )
        return next((one for one in found if one.source == name), none)

    def ask(self, port: int, row: tuple[object, ...]) -> int:
        number, at, card, country, amount, *_ = row
        assert isinstance(at, datetime)
        body = {"id": number, "at": at.isoformat(), "card": card, "country": country, "amount": amount}
        connection = HTTPConnection("127.0.0.1", port, timeout=90)
        try:
            connection.request("POST", "/predict/fraud", msgspec.json.encode(body))
            return connection.getresponse().status
        except OSError:  # nobody listens yet
            return 0
        finally:
            connection.close()


class DeclaredTree(Tree):
    """`evertrain up service.py`, with the file beside the state."""

    def command(self, *words: str) -> list[str]:
        return super().command(str(self.state.path.with_name("service.py")), *words)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres") / "data") as made:
        yield made


@pytest.fixture
def fraud(tmp_path: Path, server: Postgres) -> Iterator[Fraud]:
    made = Fraud(tmp_path, server)
    yield made
    made.connection.close()


def test_a_fraud_stream_in_sql(tmp_path: Path, server: Postgres, fraud: Fraud) -> None:
    fraud.history()

    planned = fraud.run("plan", "service.py")
    assert planned.returncode == 0, planned.stderr
    assert f"{DAYS * DAILY:,} rows" in planned.stdout
    assert "to train on now" in planned.stdout

    with DeclaredTree(State.create(tmp_path / "state"), workers=1) as tree:
        tree.up(fraud.environment)
        wait_until(lambda: fraud.ask(tree.port, fraud.payment(NOW)) == 200, "a first model", 300)

        # Payments come while it runs, and each is asked about.
        live = [fraud.payment(datetime.now(UTC)) for _ in range(30)]
        for row in live:
            fraud.connection.execute(ADD, row)
            assert fraud.ask(tree.port, row) == 200
        wait_until(lambda: fraud.source("payments").rows == DAYS * DAILY + 30, "the live payments")

        # The database goes away: it answers on, says what is wrong, and goes on when the database is back.
        fraud.connection.close()
        server.stop()
        wait_until(lambda: "cannot be reached" in fraud.source("payments").trouble, "the trouble")
        assert "TROUBLE" in fraud.run("status", "--dir", "state").stdout
        assert fraud.ask(tree.port, fraud.payment(NOW)) == 200
        server.start()
        fraud.connection = server.connect(fraud.database, autocommit=True)

        # What became of them is written into their rows later.
        before = fraud.source("verdicts").rows
        fraud.connection.execute("UPDATE payments SET fraud = false, decided = now() WHERE fraud IS NULL")
        waited = fraud.connection.execute("SELECT count(*) FROM payments").fetchone()
        assert waited == (DAYS * DAILY + 30,)
        wait_until(lambda: fraud.source("verdicts").rows == DAYS * DAILY + 30, "the late verdicts")
        assert before < DAYS * DAILY
        assert fraud.source("verdicts").trouble == ""
        assert tree.down() == 0

    for name in ("payments", "verdicts"):
        rows = Table(tmp_path / "state" / "control" / "tables", f"source.{name}").read()
        assert rows["id"].n_unique() == rows.height == DAYS * DAILY + 30
    assert [path for path in tmp_path.rglob("*") if path.is_file() and b"S3^CRET" in path.read_bytes()] == []
    assert b"S3^CRET" not in tree.log.read_bytes()
