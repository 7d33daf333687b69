"""Declarations are looked at before they are put on record; what does not hold together is refused."""

from pathlib import Path
from textwrap import dedent

import msgspec
import pytest

from evertrain.core.event import Draft, VersionBuilt
from evertrain.core.identity import Digest, ServiceName, VersionId
from evertrain.core.model import Fingerprint
from evertrain.core.time import Instant
from evertrain.errors import DeclarationError
from evertrain.process.declaration.declaring import check, declare
from evertrain.store.installation import install
from evertrain.store.ledger import Ledger

SERVICE = dedent("""
    import evertrain as et


    def train(data, run):
        return None


    def declared(name, amount):
        columns = {"id": "string", "t": "timestamp", "amount": amount, "bad": "bool"}
        orders = et.Source("orders", et.files("orders/*.csv"), key="id", event_time="t", columns=columns)
        asked = et.Examples(orders, key="id", at="t", request=["t"])
        label = et.Label(source=orders, of=asked, value="bad", horizon="1d")
        return et.Service(name, examples=asked, label=label, train=train)
""")


TABLE = dedent("""
    import evertrain as et

    service = et.Service.from_table("churn", "c.csv", key="id", at="day", label="left", horizon="1d")
""")


def write(folder: Path, name: str, *services: str) -> Path:
    (folder / "orders").mkdir(exist_ok=True)
    file = folder / f"{name}.py"
    file.write_text(SERVICE + "".join(f"\nservice{number} = {one}\n" for number, one in enumerate(services)))
    return file


def test_services_that_share_a_source_must_mean_the_same_one(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(1))
    apart = write(tmp_path, "apart", "declared('a', 'int64')", "declared('b', 'float64')")
    with pytest.raises(DeclarationError, match="'b' and 'a' declare the source 'orders' differently"):
        declare(state, apart)
    declare(state, write(tmp_path, "first", "declared('a', 'int64')"))
    with pytest.raises(DeclarationError, match="'b' and 'a' declare the source 'orders' differently"):
        declare(state, write(tmp_path, "second", "declared('b', 'float64')"))
    declare(state, write(tmp_path, "both", "declared('a', 'float64')", "declared('b', 'float64')"))
    with Ledger.open(state.ledger) as ledger:
        declared = ledger.read(kinds={"service.declared"})
    assert [event.subject for event in declared] == ["service/a", "service/a", "service/b"]


def test_a_source_keeps_the_types_that_are_on_record(tmp_path: Path) -> None:
    file = write(tmp_path, "typed", "declared('a', 'int64')")
    [source] = check(file)[0].sources
    fixed = {source.name: source.columns}
    assert check(file, fixed=fixed)
    retyped = write(tmp_path, "retyped", "declared('a', 'float64')")
    with pytest.raises(DeclarationError, match="'amount' of source 'orders' is declared float64, and is int64") as told:
        check(retyped, fixed=fixed)
    assert 'et.Source("orders2", ...)' in told.value.remedy
    with pytest.raises(DeclarationError, match=r"no column 'amount' in source 'orders'") as told:
        check(file, fixed={source.name: source.columns[:2]})
    assert 'et.Source("orders2", ...)' in told.value.remedy
    near = tuple(msgspec.structs.replace(one, name=one.name.replace("amount", "amuont")) for one in source.columns)
    with pytest.raises(DeclarationError, match='Did you mean "amuont"'):
        check(file, fixed={source.name: near})


def test_a_table_keeps_its_types_too(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("id,day,zip,left\n" + "".join(f"{n},2026-01-01,{n},{n % 2}\n" for n in range(9)))
    (tmp_path / "table.py").write_text(TABLE)
    [spec] = check(tmp_path / "table.py")
    fixed = {spec.sources[0].name: spec.sources[0].columns}
    (tmp_path / "retyped.py").write_text(TABLE.replace('horizon="1d"', 'horizon="1d", columns={"zip": "string"}'))
    with pytest.raises(
        DeclarationError, match="'zip' of source 'churn' is declared string, and is int64 there"
    ) as told:
        check(tmp_path / "retyped.py", fixed=fixed)
    assert 'et.Service.from_table("churn2", ...)' in told.value.remedy
    assert check(tmp_path / "table.py", fixed=fixed) == (spec,)


def test_what_a_declaration_prints_is_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, "talking", "declared('a', 'int64')", "print('loading')")
    assert [spec.name for spec in check(file)] == ["a"]
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "loading\n")


def test_the_folder_of_a_source_must_be_there_and_its_files_may_come_later(tmp_path: Path) -> None:
    file = write(tmp_path, "early", "declared('a', 'int64')")
    check(file)
    with pytest.raises(DeclarationError, match=r"early\.py: Source 'orders' of service 'a' .* there is no folder"):
        check(file, tmp_path / "elsewhere")


def test_the_classes_of_a_service_that_has_versions_do_not_change(tmp_path: Path) -> None:
    state = install(tmp_path / "state", Instant(1))
    service = SERVICE.replace('"bad": "bool"', '"bad": "string"').replace("train=train", "train=train, output=OUTPUT")
    (tmp_path / "orders").mkdir()
    file = tmp_path / "kinds.py"

    def declared(output: str) -> None:
        file.write_text(f"{service.replace('OUTPUT', output)}\nservice = declared('a', 'int64')\n")
        declare(state, file)

    declared('et.classes("late", "lost", "good")')
    declared('et.classes("late", "lost", "good", "back")')
    built = VersionBuilt(
        service=ServiceName("a"),
        version=VersionId("v"),
        fingerprint=Fingerprint(model=Digest("m"), features=Digest("f")),
        ordinal=1,
        cycle=None,
    )
    with Ledger.open(state.ledger) as ledger:
        ledger.append(Draft(id="v", at=Instant(2), actor="test", subject="version/v", reason="A test.", fact=built))
    declared('et.classes("back", "late", "lost", "good")')
    with pytest.raises(DeclarationError, match=r"with back, good, late, lost; the file declares .* with good, late, l"):
        declared('et.classes("late", "lost", "good")')
