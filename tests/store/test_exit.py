from pathlib import Path

from evertrain.core.event import Draft, ProcessExited
from evertrain.core.time import Instant
from evertrain.store.exit import MOST_NOTES, ExitNotes, exit_notes, forget_exit_note
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


def test_of_a_process_that_ends_for_days_the_first_notes_wait_and_the_newest_counts_the_rest(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    ExitNotes(state).leave(draft("w0", 0))
    for at in range(1, MOST_NOTES + 10):
        ExitNotes(state).leave(draft("controller", at))
    [other, *first, newest] = exit_notes(state)
    assert other == draft("w0", 0)
    assert first == [draft("controller", at) for at in range(1, MOST_NOTES)]
    assert newest.id == draft("controller", MOST_NOTES + 9).id
    assert untold(newest) == 9


def test_what_waits_for_a_full_disk_is_bounded_as_well(tmp_path: Path) -> None:
    state = State.create(tmp_path / "state")
    for at in range(MOST_NOTES):
        ExitNotes(state).leave(draft("w0", at))
    folder = state.path / "serving" / "exits"
    folder.rename(folder.with_name("aside"))
    folder.write_bytes(b"")
    notes = ExitNotes(state)
    for at in range(MOST_NOTES, 3 * MOST_NOTES):
        notes.leave(draft("w0", at))
    folder.unlink()
    folder.with_name("aside").rename(folder)
    notes.leave_rest()
    waiting = exit_notes(state)
    assert len(waiting) == MOST_NOTES
    assert sum(1 + untold(one) for one in waiting) == 3 * MOST_NOTES


def untold(note: Draft) -> int:
    assert isinstance(note.fact, ProcessExited)
    return note.fact.untold
