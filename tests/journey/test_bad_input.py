"""What a user does wrong: each is refused, or set aside, in words that say what and how to mend it; all else goes on.

The real commands and one real server, of a declared service whose files the tests write.
"""

import gzip
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import msgspec
import polars as pl
import pytest

from evertrain.store.process import alive, heartbeats
from evertrain.store.state import State
from evertrain.testing.tree import free_port, wait_until

SERVICE = dedent("""
    import evertrain as et

    orders = et.Source(
        "orders",
        et.files("orders/*"),
        key="order",
        event_time="placed",
        columns={"order": "string", "shop": "string", "placed": "timestamp", "amount": "float64"},
        fresh_within="1h",
        owner="the shop",
    )
    asked = et.Examples(orders, key="order", at="placed", request=["order", "shop", "placed", "amount"])
    late = et.Label(source=orders, of=asked, value="amount", horizon="3h")


    def train(data, run):
        path = run.path("model.py")
        path.write_text("def predict(rows):\\n    return [0.5 for _ in rows]\\n")
        return path


    service = et.Service(
        "late-orders",
        examples=asked,
        label=late,
        features=[et.column("shop", "amount")],
        train=train,
        categories="shop",
    )
""")
MODEL = "def predict(rows):\n    return [row['amount'] / 100 for row in rows]\n"
SCHEMA = {
    "columns": [
        {"name": "shop", "type": "string"},
        {"name": "amount", "type": "float64", "low": 0, "high": 100},
        {"name": "note", "type": "string", "nullable": True},
    ]
}
HEAD = "order,shop,placed,amount\n"


def evertrain(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


def refused(folder: Path, *words: str) -> str:
    """What a command that must be refused says: a fault, its remedy, and its code, a line each, and exit code 1."""
    done = evertrain(folder, *words)
    assert done.returncode == 1, (done.stdout, done.stderr)
    assert done.stderr.startswith("evertrain: ")
    assert "Traceback" not in done.stderr
    told, code = done.stderr.strip().splitlines()[1:]
    assert told.startswith("  "), done.stderr
    assert re.fullmatch(r"  (ET-[A-Z]\d\d): `evertrain explain \1` says more\.", code), done.stderr
    return done.stderr


class Server:
    """A folder with a declaration and a model file, and one of them up."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.control_port = free_port(), free_port()
        (folder / "orders").mkdir()
        (folder / "service.py").write_text(SERVICE)
        (folder / "model.py").write_text(MODEL)
        (folder / "schema.json").write_text(json.dumps(SCHEMA))
        self.supervisor: subprocess.Popen[str] | None = None

    @property
    def state(self) -> State:
        return State.open(self.folder / "state")

    def start(self) -> None:
        """The declared service and a served model file, in one state directory."""
        flags = ["--dir", "state", "--port", str(self.port), "--control-port", str(self.control_port), "--workers", "1"]
        with (self.folder / "up.log").open("w") as log:
            first = [sys.executable, "-m", "evertrain", "serve", "model.py", "--schema", "schema.json", *flags]
            self.supervisor = subprocess.Popen(
                [*first, "--service", "shop", "--json"],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"EVERTRAIN_SCAN_S": "0.2"},
            )
        assert self.supervisor.stdout is not None
        assert self.supervisor.stdout.readline(), (self.folder / "up.log").read_text()
        wait_until(lambda: self.ask(b'{"shop": "a", "amount": 3, "note": null}')[0] == 200, "a first answer")

    def declare(self) -> None:
        """Put the declaration on record beside the served model."""
        words = ["-m", "evertrain.process.declaration.declaring", "--dir", "state", "service.py"]
        subprocess.run([sys.executable, *words], cwd=self.folder, check=True, capture_output=True)

    def stop(self) -> None:
        if self.supervisor is not None:
            self.supervisor.send_signal(signal.SIGTERM)
            try:
                self.supervisor.wait(180)
            finally:
                self.supervisor.kill()
                for one in heartbeats(self.state):
                    if alive(one):
                        os.kill(one.pid, signal.SIGKILL)
            if self.supervisor.stdout is not None:
                self.supervisor.stdout.close()

    def ask(self, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        """POST to the served model; the status and what it says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                "POST", "/predict/shop", body, {name.replace("_", "-"): of for name, of in headers.items()}
            )
            response = connection.getresponse()
            said: dict[str, Any] = msgspec.json.decode(response.read())
            return response.status, said
        finally:
            connection.close()

    def source(self) -> dict[str, Any]:
        """The source as `evertrain status` tells it."""
        found = msgspec.json.decode(evertrain(self.folder, "status", "--dir", "state", "--json").stdout)
        return next(iter(found["sources"]), {})

    def reported(self) -> dict[str, Any]:
        """The source as the data process reports it."""
        path = self.state.reports / "sources.json"
        reports = msgspec.json.decode(path.read_bytes()) if path.exists() else []
        return next(iter(reports), {"rows": 0, "pending": 0, "quarantined": 0, "files_quarantined": 0})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("ein Ordner für alle"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


# Requests -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "field", "said"),
    [
        (b'{"shop": "a", "amuont": 3, "note": null}', 400, "amuont", "amount"),
        (b'{"shop": "a", "amount": "3", "note": null}', 400, "amount", "number"),
        (b'{"shop": "a", "note": null}', 400, "amount", "amount"),
        (b'{"shop": "a", "amount": null, "note": null}', 400, "amount", "amount"),
        (b'{"shop": "a", "amount": NaN, "note": null}', 400, "amount", "NaN"),
        (b'{"shop": "a", "amount": 1e999, "note": null}', 400, "amount", "1e999"),
        (b'{"shop": "\xff", "amount": 3, "note": null}', 400, "body", "UTF-8"),
        (b'{"shop": "a", "amount": 3, "note"', 400, "body", "JSON"),
        (b"[" * 200_000, 400, "body", "nested"),
    ],
    ids=["unknown", "type", "missing", "null", "nan", "infinite", "utf8", "cut", "nested"],
)
def test_a_bad_request_names_what_field_and_remedy(
    server: Server, body: bytes, status: int, field: str, said: str
) -> None:
    found, told = server.ask(body)
    assert found == status, told
    assert told["what"]
    assert told["remedy"]
    assert told["code"] == "ET-R01"
    assert told["field"] == (field or told["field"])
    assert said in told["what"] + told["remedy"]
    assert server.ask(b'{"shop": "a", "amount": 3, "note": null}')[0] == 200


def test_a_compressed_body_is_taken_or_refused_with_what_is_taken(server: Server) -> None:
    body = b'{"shop": "a", "amount": 3, "note": null}'
    assert server.ask(gzip.compress(body), content_encoding="gzip")[0] == 200
    status, told = server.ask(body, content_encoding="br")
    assert (status, "gzip" in told["remedy"]) == (415, True)
    status, told = server.ask(gzip.compress(bytes(64 << 20)), content_encoding="gzip")
    assert (status, told["field"]) == (413, "body")


def test_a_body_that_is_too_large_is_refused_before_it_comes(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as large:
        large.sendall(b"POST /predict/shop HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n")
        answer = b"".join(iter(lambda: large.recv(4096), b""))
    assert b" 413 " in answer
    assert b"larger than the limit of 4194304 bytes" in answer


def test_a_body_that_never_comes_is_let_go(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as stalled:
        stalled.sendall(b"POST /predict/shop HTTP/1.1\r\nhost: x\r\ncontent-length: 50\r\n\r\n12")
        assert server.ask(b'{"shop": "a", "amount": 3, "note": null}')[0] == 200
        assert b" 408 " in stalled.recv(4096)


# Files ----------------------------------------------------------------------------------------------------------------


def test_bad_files_are_set_aside_with_their_reason_and_the_good_ones_are_taken(server: Server) -> None:
    orders = server.folder / "orders"
    good = "".join(f"o{number},a,2026-01-01T10:{number:02d}:00Z,{number}\n" for number in range(60))
    (orders / "1.csv").write_text(HEAD + good)
    server.declare()
    wait_until(lambda: server.reported()["pending"] + server.reported()["rows"] == 60, "the good file")

    (orders / "2.parquet").write_bytes(b"PAR1 and then nothing of the kind PAR1")
    (orders / "3.csv").write_text("order,shop,placed,price\nx,a,2026-01-01T11:00:00Z,3\n")
    (orders / "4.csv").write_text(HEAD + "bad,a,2026-01-01T11:00:00Z,much\nfine,a,2026-01-01T11:01:00Z,4\n")
    line = b'{"order": "%s", "shop": "a", "placed": "2026-01-01T11:02:00Z", "amount": 1}\n'
    (orders / "5.jsonl").write_bytes(line % b"\xff" + line % b"whole")
    whole = pl.DataFrame({"order": ["late"], "shop": ["b"], "placed": ["2026-01-01T12:00:00Z"], "amount": [5.0]})
    whole = whole.with_columns(pl.col("placed").str.to_datetime(time_zone="UTC", time_unit="us"))
    whole.write_parquet(server.folder / "whole")
    content = (server.folder / "whole").read_bytes()
    with (orders / "6.parquet").open("wb") as growing:
        growing.write(content[:-20])
        growing.flush()
        wait_until(lambda: server.reported()["files_quarantined"] == 2, "two files in quarantine")
        wait_until(lambda: server.reported()["quarantined"] == 2, "two rows in quarantine")
        growing.write(content[-20:])
    wait_until(lambda: server.reported()["pending"] + server.reported()["rows"] == 63, "the whole Parquet file")

    told = server.source()
    assert (told["rows"], told["rows_aside"], told["files_aside"]) == (63, 2, 2)
    assert told["set_aside"]["reason"]
    assert told["stale"]
    screen = evertrain(server.folder, "status", "--dir", "state").stdout
    assert "set aside: 2 rows, 2 files" in screen
    assert "warning source/orders/freshness" in screen
    assert "the shop is told" in screen
    assert server.ask(b'{"shop": "a", "amount": 3, "note": null}')[0] == 200


# Declarations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("train=train", "train=train, triggers=[et.drift()]", "There is no et.drift."),
        ('column("shop", "amount")', 'column("shop", "amuont")', 'Did you mean "amount"?'),
        (', horizon="3h"', "", "has no clock"),
        ("train=train", 'train=train, gate=et.Gate(holdout="1d", block="6h")', "Nothing could pass the gate"),
        ("orders/*", "nowhere/*", "there is no folder"),
        ("service = et.Service(", "service = et.Service((", "was never closed"),
    ],
)
def test_a_bad_declaration_is_refused_before_anything_is_written(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    assert before in SERVICE
    (tmp_path / "orders").mkdir()
    (tmp_path / "service.py").write_text(SERVICE.replace(before, after))
    told = refused(tmp_path, "up", "service.py", "--dir", "state", "--port", "0", "--control-port", "0")
    assert said in told
    assert "service.py" in told
    assert not (tmp_path / "state").exists()


# Places ---------------------------------------------------------------------------------------------------------------


def test_a_port_in_use_and_a_folder_that_will_not_do_are_refused_in_one_line(server: Server, tmp_path: Path) -> None:
    up = ["up", "--control-port", "0"]
    assert f"{server.port} on 127.0.0.1 is in use" in refused(tmp_path, *up, "--dir", "s", "--port", str(server.port))
    assert "cannot open" in refused(tmp_path, *up, "--port", "0", "--dir", "my%20state")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").touch()
    assert "is no state directory" in refused(tmp_path, *up, "--port", "0", "--dir", "thesis")
    (tmp_path / "newer").mkdir()
    (tmp_path / "newer" / "state.json").write_text('{"schema": 999}')
    assert "a newer evertrain" in refused(tmp_path, *up, "--port", "0", "--dir", "newer")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["chapter1.txt", "newer", "state.json", "thesis"]


def test_a_second_up_on_the_same_folder_is_refused(server: Server) -> None:
    told = refused(server.folder, "up", "--dir", "state", "--port", "0", "--control-port", "0")
    assert "already belongs to process" in told
    (server.folder / "next.py").write_text("def predict(rows):\n    return [0.5 for _ in rows]\n")
    told = refused(server.folder, "serve", "next.py", "--dir", "state", "--port", "0", "--control-port", "0")
    assert "It runs, so the file comes in by `evertrain push next.py`" in told
