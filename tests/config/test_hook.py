"""What a hook may be, what is refused, and that no secret is ever shown."""

import base64
from pathlib import Path
from typing import Any

import pytest

from evertrain.config.hook import Hook, read_hooks, secret_of, written_hooks
from evertrain.config.settings import FILE, load
from evertrain.core.time import HOUR, MINUTE
from evertrain.errors import SettingsError

WHOLE = {"name": "audit", "url": "https://audit.example.com/x?y=z", "secret_env": "HOOK"}
SECRET = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_hooks_stand_in_the_file_and_are_handed_on_through_the_environment(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(
        'port = 1\n[[hooks]]\nname = "ci"\nurl = "http://ci/"\nsecret_file = "s"\ngive_up_after = "10m"\n'
        'events = ["rollout.*"]\nveto = ["promotion"]\nveto_within = "2h"\non_timeout = "deny"\n'
    )
    hooks = load({}, environment={}).settings.hooks
    assert hooks == (
        Hook(
            name="ci",
            url="http://ci/",
            secret_file=str(tmp_path / "s"),
            give_up_after=10 * MINUTE,
            events=("rollout.*",),
            veto=("promotion",),
            veto_within=2 * HOUR,
            on_timeout="deny",
        ),
    )
    assert load({}, environment={"EVERTRAIN_HOOKS": written_hooks(hooks)}).settings.hooks == hooks
    assert load({}, environment={"EVERTRAIN_HOOKS": ""}).settings.hooks == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "Über"}, "name"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://me:pw@host/"}, "user"),
        ({"url": "https:///x"}, "no host"),
        ({"secret_env": ""}, "no place"),
        ({"secret_file": "s"}, "two places"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"give_up_after": "soon"}, 'give_up_after must be a duration such as "6h", from 0s to 30d'),
        ({"give_up_after": 3}, "give_up_after must be a duration"),
        ({"veto_within": "40s"}, "veto_within must be a duration such as .*, from 1m to 365d"),
        ({"veto": ["always"]}, "veto"),
        ({"on_timeout": "panic"}, "on_timeout"),
        ({"events": ["Rollout Moved"]}, "events"),
        ({"events": ["alert.*", "rolout.moved"]}, 'Did you mean "rollout.moved"'),
        ({"events": ["aproval.*"]}, r"no event is called 'aproval.\*'"),
        ({"secret": SECRET}, "secret"),
        ({"methd": "GET"}, "methd"),
    ],
)
def test_a_hook_that_is_none_is_refused_by_its_field(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says) as refused:
        read_hooks([WHOLE | changes], "evertrain.toml: hooks")
    assert "hooks[0]" in str(refused.value)
    assert SECRET not in str(refused.value)
    assert "pw@" not in str(refused.value)


@pytest.mark.parametrize("given", ["{", "7", '"x"', "\udcff"])
def test_what_is_no_list_of_hooks_is_refused(given: str) -> None:
    with pytest.raises(SettingsError, match="EVERTRAIN_HOOKS"):
        read_hooks(given, "EVERTRAIN_HOOKS")


def test_files_are_looked_for_beside_the_one_that_names_them(tmp_path: Path) -> None:
    named = tmp_path / "etc" / "settings.toml"
    named.parent.mkdir()
    named.write_text('[[hooks]]\nname = "ci"\nurl = "http://ci/"\nsecret_file = "keys/s"\nca_file = "ca.pem"\n')
    [hook] = load({}, environment={}, file=named).settings.hooks
    assert hook.secret_file == str(tmp_path / "etc" / "keys" / "s")
    assert hook.ca_file == str(tmp_path / "etc" / "ca.pem")
    assert load({}, environment={"EVERTRAIN_HOOKS": written_hooks((hook,))}).settings.hooks == (hook,)


def test_names_are_unique_and_there_are_not_too_many() -> None:
    with pytest.raises(SettingsError, match="two of one name"):
        read_hooks([WHOLE, WHOLE], "hooks")
    with pytest.raises(SettingsError, match="more than 16"):
        read_hooks([WHOLE | {"name": f"h{number}"} for number in range(17)], "hooks")


def test_a_hook_is_told_of_the_kinds_and_services_that_it_names() -> None:
    [hook] = read_hooks([WHOLE | {"events": ["rollout.moved", "alert.*"], "services": ["churn"]}], "hooks")
    assert hook.tells("rollout.moved", "churn")
    assert hook.tells("alert.raised", "")
    assert not hook.tells("rollout.moved", "fraud")
    assert not hook.tells("rollout.begun", "churn")
    everything = read_hooks([WHOLE | {"events": ["*"]}], "hooks")[0]
    assert everything.tells("segment.sealed", "")
    assert read_hooks([WHOLE], "hooks")[0].tells("cycle.moved", "any")
    assert not read_hooks([WHOLE], "hooks")[0].tells("segment.sealed", "")


@pytest.mark.parametrize("secret", ["", "S3CRET", "whsec_S3CRET", "whsec_!!!", SECRET.removeprefix("whsec_")])
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    [hook] = read_hooks([WHOLE], "hooks")
    with pytest.raises(SettingsError, match=r"audit") as refused:
        secret_of(hook, {"HOOK": secret})
    assert not secret or secret not in str(refused.value)
    with pytest.raises(SettingsError, match=r"not at \$HOOK"):
        secret_of(hook, {})


def test_a_secret_comes_from_a_file_or_a_variable(tmp_path: Path) -> None:
    (tmp_path / "s").write_text(f"{SECRET}\n")
    by_file = read_hooks([WHOLE | {"secret_env": "", "secret_file": str(tmp_path / "s")}], "hooks")[0]
    assert secret_of(by_file, {}) == secret_of(read_hooks([WHOLE], "hooks")[0], {"HOOK": SECRET}) == bytes(range(32))


def test_the_host_is_told_without_what_may_be_a_secret_of_the_path() -> None:
    assert read_hooks([WHOLE | {"url": "https://chat.example.com:8443/T0/S3CRET"}], "hooks")[0].host == (
        "https://chat.example.com:8443"
    )
