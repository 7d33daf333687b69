"""Where a setting comes from, what is refused, and that the reference page says it all."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from evertrain.config.settings import FILE, Settings, inherited, load, reference
from evertrain.core.time import DAY, HOUR
from evertrain.errors import SettingsError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_flags_before_environment_before_file_before_default(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('port = 1\nworkers = 3\nhost = "::1"\ncommit_every = "6h"\nbody_timeout_s = 5\n')
    stated = load(
        {"port": 3, "max_rows": None}, environment={"EVERTRAIN_PORT": "2", "EVERTRAIN_WORKERS": "4", "PATH": "/bin"}
    )
    settings = stated.settings
    assert (settings.port, settings.workers, settings.host, settings.max_rows) == (3, 4, "::1", 10_000)
    assert (settings.commit_every, settings.body_timeout_s) == (6 * HOUR, 5.0)
    assert {key: origin for key, origin in stated.origins.items() if origin != "default"} == {
        "port": "flag",
        "workers": "environment",
        "host": "file",
        "commit_every": "file",
        "body_timeout_s": "file",
    }


def test_a_process_of_the_tree_reads_no_file(tmp_path: Path) -> None:
    """A worker that has ended comes back, whatever was typed into the file meanwhile."""
    (tmp_path / FILE).write_text("workers = = 3\n")
    assert inherited({"EVERTRAIN_PORT": "2"}) == Settings(port=2)


def test_without_anything_the_defaults_hold() -> None:
    stated = load({}, environment={})
    assert stated.settings == Settings()
    assert stated.settings.commit_every == DAY
    assert set(stated.origins.values()) == {"default"}


def test_an_unknown_key_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r'EVERTRAIN_WORKER is no setting. Did you mean "workers"'):
        load({}, environment={"EVERTRAIN_WORKER": "2"})
    with pytest.raises(SettingsError, match=r'--max-row is no setting. Did you mean "max_rows"'):
        load({"max_row": 2}, environment={})
    (tmp_path / FILE).write_text("zzz = 1\n")
    with pytest.raises(SettingsError, match=r"evertrain.toml, line 1: zzz is no setting.*evertrain settings"):
        load({}, environment={})


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("port", "http", "a whole number, from 0 to 65,535"),
        ("port", 65_536, "from 0 to 65,535"),
        ("port", True, "a whole number"),
        ("port", 8080.5, "a whole number"),
        ("workers", 0, "from 1 to 64"),
        ("body_timeout_s", 0, "a number, over 0 to 3,600"),
        ("body_timeout_s", "nan", "a number"),
        ("commit_every", "soon", "a duration"),
        ("commit_every", 3, "a duration"),
        ("log_keep", "1h", 'a duration such as "90m", from 1d'),
        ("host", 127, "a text"),
        ("trainer_nice", -1, "from 0 to 19"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused(key: str, value: Any, expected: str) -> None:
    with pytest.raises(SettingsError, match=expected):
        load({key: value}, environment={})


def test_every_default_lies_within_its_own_bounds() -> None:
    assert msgspec.convert(msgspec.to_builtins(Settings()), Settings) == Settings()


def test_a_value_is_never_shown(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('port = "S3CRET"\n')
    with pytest.raises(SettingsError) as raised:
        load({}, environment={})
    assert "S3CRET" not in str(raised.value)
    assert raised.value.__cause__ is None


def test_the_file_must_exist_when_it_is_named_and_be_toml(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent.toml cannot be read"):
        load({}, environment={}, file=tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("port = = 1")
    with pytest.raises(SettingsError, match=r"bad.toml is no TOML.*line 1"):
        load({}, environment={}, file=tmp_path / "bad.toml")


def test_people_are_warned_before_the_service_refuses() -> None:
    with pytest.raises(SettingsError, match="warn_free_mb"):
        load({"warn_free_mb": 10, "min_free_mb": 20}, environment={})


def test_the_reference_names_every_setting_with_its_bounds() -> None:
    page = reference()
    assert len(page.splitlines()) == 2 + len(Settings.__struct_fields__)
    assert "| `commit_every` | `EVERTRAIN_COMMIT_EVERY` | `1d` | duration | from 1s to 30d |" in page
    assert "| `port` | `EVERTRAIN_PORT` | `8080` |  | from 0 to 65,535 |" in page
