from pathlib import Path

from evertrain.core.event import Draft, ProcessExited
from evertrain.core.time import Instant
from evertrain.store.exit import ExitNotes, exit_notes, forget_exit_note
from evertrain.store.state import State


def draft(name: str, at: int) -> Draft:
    return Draft(
        id=f"exit:{name}:{at}/1",
        at=Instant(at),
        actor="supervisor",
        subject=f"process/{name}",
        reason="It was killed by SIGKILL.",
        fact=ProcessExited(process=name, code=None, signal="SIGKILL", version=None),
    )


def test_notes_wait_in_order_until_they_are_forgotten(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    assert exit_notes(state) == []
    for note in (draft("w1", 2), draft("w0", 1), draft("w0", 1)):
        ExitNotes(state).leave(note)
    assert exit_notes(state) == [draft("w0", 1), draft("w1", 2)]
    forget_exit_note(state, draft("w0", 1))
    forget_exit_note(state, draft("w0", 1))
    assert exit_notes(state) == [draft("w1", 2)]


def test_a_note_cut_by_a_power_failure_is_dropped(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    ExitNotes(state).leave(draft("w0", 1))
    (state.path / "serving" / "exits" / "cut.json").write_bytes(b'{"id": "exit')
    assert exit_notes(state) == [draft("w0", 1)]
    assert len(list((state.path / "serving" / "exits").iterdir())) == 1


def test_what_cannot_be_left_now_is_left_later_in_order(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    (state.path / "serving" / "exits").write_bytes(b"")  # where no note can be written, as on a full disk
    notes = ExitNotes(state)
    notes.leave(draft("w0", 1))
    notes.leave(draft("w1", 2))
    (state.path / "serving" / "exits").unlink()
    notes.leave_rest()
    assert exit_notes(state) == [draft("w0", 1), draft("w1", 2)]
