"""What is said against inputs when a declaration comes into force: `apply` repeats what `plan` and `init` say."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from evertrain.core.time import Instant
from evertrain.process.declaration.applying import AppliedService, apply
from evertrain.store.installation import install
from evertrain.testing.customers import customer_rows

SERVICE = """
import evertrain as et

service = et.Service.from_table("churn", "customers.csv", key="customer_id", at="snapshot_day", label="churned",
                                horizon="30d", exclude={exclude})
"""


def applied(folder: Path, exclude: list[str]) -> AppliedService:
    (folder / "service.py").write_text(SERVICE.format(exclude=exclude))
    state = install(folder / "state", Instant(1))
    [one] = apply(state, folder / "service.py").services
    return one


def test_apply_names_a_column_that_gives_the_label_away_where_it_changes_anything(tmp_path: Path) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    customer_rows(600, newest=now - timedelta(days=1), days=300, seed=1).write_csv(tmp_path / "customers.csv")
    new = applied(tmp_path, [])
    assert any(words.startswith("refund: a leak: alone it gives churned with AUC 1.000") for words in new.cautions)
    same = applied(tmp_path, [])
    assert (same.new, same.changes, same.cautions) == (False, (), ())
    leaking = ("refund", "cancel_reason", "closed_at")
    mended = applied(tmp_path, list(leaking))
    assert mended.changes
    assert not any(words.startswith(leaking) for words in mended.cautions)
