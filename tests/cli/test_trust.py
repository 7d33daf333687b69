"""`evertrain trust` puts a person's word on record before anything may load the file."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import msgspec

from evertrain.core.event import ModelVouched
from evertrain.core.identity import digest_of_bytes
from evertrain.store.ledger import Ledger
from evertrain.store.state import State


def trust(folder: Path, *words: str, file: str = "model.pkl", answer: str = "n\n") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "evertrain", "trust", file, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, input=answer, timeout=300)


def test_a_trusted_pickle_is_on_record_once(tmp_path: Path) -> None:
    content = pickle.dumps(Path("made by a person"))
    (tmp_path / "model.pkl").write_bytes(content)
    for _ in range(2):
        done = trust(tmp_path, "--yes")
        assert done.returncode == 0, done.stderr
    state = State.open(tmp_path / ".evertrain")
    with Ledger.open(state.ledger) as ledger:
        [event] = ledger.read(kinds={"model.vouched"})
    assert isinstance(event.fact, ModelVouched)
    assert event.fact.model == digest_of_bytes(content)
    assert event.fact.whole
    assert any(name.startswith("pathlib.") for name in event.fact.names)


def test_what_nobody_vouches_for_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps({"a": 1}))
    assert trust(tmp_path).returncode == 1
    assert not (tmp_path / ".evertrain").exists()


def test_where_nobody_can_answer_the_refusal_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(subprocess.run))
    done = trust(tmp_path, answer="")
    assert done.returncode == 1
    assert "DANGEROUS: subprocess.run" in done.stdout
    assert "Nobody answered" in done.stderr
    assert "speaks against that" in done.stderr
    assert "evertrain trust model.pkl --yes" in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / ".evertrain").exists()


def test_a_table_is_not_offered_to_be_trusted(tmp_path: Path) -> None:
    (tmp_path / "churn.csv").write_text("customer_id,plan\nc1,pro\n")
    done = trust(tmp_path, "--yes", file="churn.csv")
    assert done.returncode == 1
    assert "is a table of rows" in done.stderr
    assert "evertrain init NAME --data churn.csv" in done.stderr


def test_everything_that_is_imported_is_named_on_request_what_is_dangerous_first(tmp_path: Path) -> None:
    many = [getattr(ast, name) for name in ("Add", "And", "Break", "Call", "Dict", "Expr", "For", "If", "Lt", "Not")]
    content = pickle.dumps([*many, ast.Or, ast.Pow, ast.Set, subprocess.run])
    (tmp_path / "model.pkl").write_bytes(content)
    first = "It imports subprocess.run, "
    done = trust(tmp_path)
    assert first in done.stdout
    assert "and 2 more (--all names them)" in done.stdout
    done = trust(tmp_path, "--all")
    assert first in done.stdout
    assert "more (" not in done.stdout
    told = msgspec.json.decode(trust(tmp_path, "--json", "--yes").stdout)
    assert (len(told["imports"]), told["imports"][0], told["dangerous"]) == (14, "subprocess.run", ["subprocess.run"])
