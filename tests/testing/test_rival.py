import sys
from pathlib import Path

from evertrain.testing.rival import RIVALS, Rival, running


def installed(home: Path, *packages: str) -> None:
    for package in packages:
        folder = home / "lib" / "python3.11" / "site-packages" / f"{package}-1.2.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")


def test_a_rival_is_there_when_all_that_it_requires_is(tmp_path: Path) -> None:
    rival = Rival(name="Ray Serve", requires=("ray[serve]", "lightgbm"))
    assert rival.version(tmp_path) is None
    installed(rival.home(tmp_path), "ray")
    assert rival.version(tmp_path) is None
    installed(rival.home(tmp_path), "lightgbm")
    assert rival.version(tmp_path) == "1.2"


def test_each_rival_has_a_home_of_its_own(tmp_path: Path) -> None:
    assert len({rival.home(tmp_path) for rival in RIVALS.values()}) == len(RIVALS)


def test_what_a_rival_says_is_kept_and_it_is_ended(tmp_path: Path) -> None:
    with running((sys.executable, "-c", "print('here', flush=True); input()"), tmp_path, {}) as process:
        pass
    assert process.returncode is not None
