"""What `apply` foretells of a source whose files are read by other rules from then on."""

from pathlib import Path

import msgspec

from evertrain.core.identity import SourceName
from evertrain.core.time import Instant
from evertrain.data.freshness import Freshness
from evertrain.process.declaration.applying import ReadAgain, apply
from evertrain.store.file import write_atomically
from evertrain.store.installation import install

SERVICE = """
import evertrain as et


def repair(cells):
    return cells{}


def train(data, run):
    return None


orders = et.Source("orders", et.files("o.csv"), key="id", event_time="t", owner="{}"{},
                   columns={{"id": "string", "t": "timestamp", "bad": "bool"}})
asked = et.Examples(orders, key="id", at="t", request=["t"])
service = et.Service("shop", examples=asked, label=et.Label(source=orders, of=asked, value="bad", horizon="1d"),
                     train=train)
"""


def write(folder: Path, mending: str = "", owner: str = "", more: str = "") -> Path:
    file = folder / "service.py"
    file.write_text(SERVICE.format(mending, owner, more))
    return file


def test_what_was_set_aside_is_read_again_when_the_rules_of_its_source_change_or_their_code(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(1))
    again = (ReadAgain(source=SourceName("orders"), rows=7, files=1),)
    assert apply(state, write(tmp_path)).again == ()
    found = Freshness(
        source=SourceName("orders"),
        newest=None,
        arrived=None,
        rows=1,
        quarantined=7,
        files_quarantined=1,
        pending=0,
        fresh_within=None,
        owner="",
    )
    write_atomically(state.reports / "sources.json", msgspec.json.encode([found]))
    assert apply(state, write(tmp_path, ".head(9)")).again == (), "of a function that nobody names"
    assert apply(state, write(tmp_path, owner="desk")).again == (), "an owner reads nothing"
    assert apply(state, write(tmp_path, more=", repair=repair")).again == again
    assert apply(state, write(tmp_path, ".head(9)", more=", repair=repair")).again == again
    assert apply(state, write(tmp_path, ".head(9)", more=", repair=repair")).again == ()
    clean = msgspec.structs.replace(found, quarantined=0, files_quarantined=0)
    write_atomically(state.reports / "sources.json", msgspec.json.encode([clean]))
    assert apply(state, write(tmp_path)).again == ()
