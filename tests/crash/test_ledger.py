"""A process that dies in the middle of an append leaves the ledger as it was, or with the whole event."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from evertrain.core.event import AlertCleared, Draft
from evertrain.core.time import Instant
from evertrain.store.audit import audit_ledger
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger
from evertrain.store.signature import Verifier

_APPEND = """
import sys
from pathlib import Path
from evertrain.core.event import AlertCleared, Draft
from evertrain.store.ledger import Ledger
names = sys.argv[2:]
with Ledger.open(Path(sys.argv[1])) as ledger:
    ledger.append(*(
        Draft(id=name, at=1, actor="t", subject="s", reason="r", fact=AlertCleared(alert=name)) for name in names
    ))
"""


def draft(name: str) -> Draft:
    return Draft(id=name, at=Instant(1), actor="t", subject="s", reason="r", fact=AlertCleared(alert=name))


@pytest.mark.parametrize(("point", "stands"), [("ledger.before_commit", 0), ("ledger.after_commit", 2)])
def test_both_events_or_none_and_the_repeated_append_goes_on(tmp_path: Path, point: str, stands: int) -> None:
    state = install(tmp_path / "state", Instant(1))
    died = subprocess.run(
        [sys.executable, "-c", _APPEND, str(state.ledger), "a", "b"],
        env={**os.environ, "EVERTRAIN_CRASH_AT": point},
        check=False,
        timeout=300,
    )
    assert died.returncode == -signal.SIGKILL
    verifier = Verifier.load(state.trusted)
    audit = audit_ledger(state.ledger, verifier)
    assert audit.findings == ()
    assert len(audit.events) == 1 + stands
    with Ledger.open(state.ledger) as ledger:
        assert [event.sequence for event in ledger.append(draft("a"), draft("b"), draft("c"))] == [1, 2, 3]
    audit = audit_ledger(state.ledger, verifier)
    assert audit.findings == ()
    assert audit.head.size == 4
