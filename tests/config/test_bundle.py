"""What a bundle takes along, that it is the same every time, and that a cache cannot change it."""

import os
from pathlib import Path

import pytest

from evertrain.config import bundle
from evertrain.config.bundle import closure, digest_of_module, freeze, pack, read_folder, sweep, unpack
from evertrain.core.identity import Digest, digest_of_bytes
from evertrain.errors import DeclarationError, IntegrityError


def lay(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return lay(
        tmp_path / "Grüße 100%25 #1",
        {
            "service.py": "import json\nimport polars\nimport shared.text\nfrom recipes import trees\n\n"
            "def late():\n    from lazy import thing\n    return thing\n",
            "shared/__init__.py": "",
            "shared/text.py": "from . import words\nfrom .deep.down import bottom\n",
            "shared/words.py": "WORDS = 1\n",
            "shared/unused.py": "",
            "shared/deep/__init__.py": "from ..top import up\n",
            "shared/deep/down.py": "bottom = 1\n",
            "shared/top.py": "up = 1\n",
            "recipes/trees.py": "import cycle_a\n",
            "cycle_a.py": "import cycle_b\n",
            "cycle_b.py": "import cycle_a\n",
            "lazy.py": "thing = 7\n",
            "other_service.py": "import nothing\n",
            "airports.json": "{}",
            "flights.csv": "a,b\n",
            ".env": "PASSWORD=S3CRET",
            "server.pem": "S3CRET",
            "token.txt": "S3CRET",
            "tokenizer.txt": "fine",
            ".venv/lib/thing.py": "",
            "env/pyvenv.cfg": "",
            "env/lib/thing.py": "",
            "state/state.json": "{}",
            "state/control/x.txt": "",
        },
    )


USED = (
    "cycle_a.py",
    "cycle_b.py",
    "lazy.py",
    "recipes/trees.py",
    "service.py",
    "shared/__init__.py",
    "shared/deep/__init__.py",
    "shared/deep/down.py",
    "shared/text.py",
    "shared/top.py",
    "shared/words.py",
)


def test_imports_are_followed_and_nothing_else_is_taken(project: Path) -> None:
    assert closure(project, "service") == USED
    assert tuple(freeze(project, "service").contents.files) == USED


def test_a_wildcard_takes_no_data_secret_environment_or_state(project: Path) -> None:
    files = set(freeze(project, "service", include=["**/*"]).contents.files)
    assert files == {*USED, "shared/unused.py", "other_service.py", "airports.json", "tokenizer.txt"}


def test_a_file_that_is_named_in_full_is_taken_unless_it_is_a_secret(project: Path) -> None:
    assert "flights.csv" in freeze(project, "service", include=["flights.csv"]).contents.files
    for secret in (".env", "server.pem", "token.txt"):
        with pytest.raises(DeclarationError, match="looks like a secret") as raised:
            freeze(project, "service", include=[secret])
        assert "S3CRET" not in str(raised.value)


def test_a_link_is_judged_by_what_it_leads_to(project: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.json").write_text("{}")
    (project / "linked.json").symlink_to(tmp_path / "outside.json")
    (project / "harmless.json").symlink_to(project / ".env")
    files = freeze(project, "service", include=["*.json"]).contents.files
    assert "airports.json" in files
    assert not {"linked.json", "harmless.json"} & set(files)
    with pytest.raises(DeclarationError, match="looks like a secret"):
        freeze(project, "service", include=["harmless.json"])


@pytest.mark.parametrize("pattern", ["../x", "/etc/passwd", "a/../../b", ""])
def test_an_include_that_leaves_the_folder_is_refused(project: Path, pattern: str) -> None:
    with pytest.raises(DeclarationError, match="leaves the declaration's folder"):
        freeze(project, "service", include=[pattern])


def test_an_include_without_a_file_is_refused(project: Path) -> None:
    with pytest.raises(DeclarationError, match="matches no file"):
        freeze(project, "service", include=["*.toml"])


def test_the_same_files_give_the_same_bytes(project: Path, tmp_path: Path) -> None:
    copy = lay(tmp_path / "copy", {name: (project / name).read_text() for name in reversed(USED)})
    first, second = freeze(project, "service"), freeze(copy, "service")
    assert first == second
    assert first.digest == digest_of_bytes(first.content)
    assert str(tmp_path).encode() not in first.content
    (copy / "lazy.py").write_text("thing = 8\n")
    assert freeze(copy, "service").digest != first.digest


def test_contents_name_interpreter_and_packages(project: Path) -> None:
    contents = freeze(project, "service").contents
    assert contents.entry == "service"
    assert contents.interpreter.startswith("CPython 3.")
    assert {"polars", "msgspec", "typing-extensions"} <= set(contents.packages)


def test_a_modules_digest_covers_what_it_imports_and_no_more(project: Path) -> None:
    before = digest_of_module(project, "shared.text")
    (project / "lazy.py").write_text("thing = 8\n")
    assert digest_of_module(project, "shared.text") == before
    (project / "shared" / "top.py").write_text("up = 2\n")
    assert digest_of_module(project, "shared.text") != before


def test_a_missing_entry_and_a_syntax_error_are_named(project: Path) -> None:
    with pytest.raises(DeclarationError, match="no module 'absent'"):
        freeze(project, "absent")
    (project / "lazy.py").write_text("ok = 1\nthing = = 7\n")
    with pytest.raises(DeclarationError, match=r"lazy.py, line 2"):
        freeze(project, "service")


def test_a_bundle_that_is_too_large_names_its_largest_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", 1_000)
    (project / "lookup.json").write_text("x" * 2_000)
    with pytest.raises(DeclarationError, match=r"largest is lookup.json with 2,000 bytes"):
        freeze(project, "service", include=["*.json"])


def test_unpacking_gives_the_files_back_and_is_done_once(project: Path, tmp_path: Path) -> None:
    frozen = freeze(project, "service", include=["*.json"])
    folder = unpack(frozen.content, frozen.digest, tmp_path / "cache")
    assert unpack(frozen.content, frozen.digest, tmp_path / "cache") == folder
    files = read_folder(folder, frozen.digest)
    assert {name: digest_of_bytes(content) for name, content in files.items()} == frozen.contents.files
    assert files["airports.json"] == b"{}"
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [frozen.digest]


def test_the_bundles_that_nobody_asked_for_lately_are_removed_but_for_the_newest_and_what_is_wanted(
    project: Path, tmp_path: Path
) -> None:
    cache, kept = tmp_path / "cache", []
    for number in range(6):
        (project / "airports.json").write_text(f"[{number}]")
        kept.append(freeze(project, "service", include=["*.json"]))
        os.utime(unpack(kept[number].content, kept[number].digest, cache), (number, number))
    unpack(kept[1].content, kept[1].digest, cache)  # it is asked for again
    paths = [cache / one.digest for one in kept]
    assert sweep(cache, {kept[0].digest}, most=2, before=4.5) == [paths[4], paths[3], paths[2]]
    assert sorted(cache.iterdir()) == sorted([paths[0], paths[1], paths[5]])
    assert sweep(cache, {kept[0].digest}, most=0, before=4.5) == [], "they were asked for since"
    assert read_folder(unpack(kept[3].content, kept[3].digest, cache), kept[3].digest)["airports.json"] == b"[3]"


def test_an_altered_bundle_is_refused_packed_and_unpacked(project: Path, tmp_path: Path) -> None:
    frozen = freeze(project, "service")
    with pytest.raises(IntegrityError, match="altered"):
        unpack(frozen.content[:-1] + b"x", frozen.digest, tmp_path / "cache")
    folder = unpack(frozen.content, frozen.digest, tmp_path / "cache")
    (folder / "lazy.py").write_text("thing = 8\n")
    with pytest.raises(IntegrityError, match="altered"):
        read_folder(folder, frozen.digest)
    (folder / "lazy.py").unlink()
    with pytest.raises(IntegrityError, match="not whole"):
        read_folder(folder, frozen.digest)


@pytest.mark.parametrize("name", ["../evil.py", "/evil.py", "a/../../evil.py"])
def test_a_bundle_cannot_write_outside_its_folder(tmp_path: Path, name: str) -> None:
    content = pack({name: b"evil"})
    with pytest.raises(IntegrityError, match="leaves its folder"):
        unpack(content, digest_of_bytes(content), tmp_path / "cache")
    assert not list(tmp_path.rglob("evil.py"))
    assert not list((tmp_path / "cache").iterdir())


def test_digest_is_of_the_bytes(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError):
        unpack(pack({}), Digest("0" * 64), tmp_path)
