"""The words for a process that ended: a person reads them, so a log line's JSON is taken off."""

import json

from evertrain.model.obituary import say_exit, say_tail

LINE = json.dumps(
    {
        "at": "2013-02-06T05:00:00.000Z",
        "level": "error",
        "process": "check",
        "says": 'the column "x" is – odd',
        "trace": 'Traceback (most recent call last):\n  File "/home/me/train.py", line 3, in train\nValueError',
    }
)


def test_the_last_line_is_said_without_its_json() -> None:
    assert say_exit(1, f"before\n{LINE}\n", 512) == 'It exited with code 1: the column "x" is – odd'


def test_json_that_is_no_log_line_is_left_as_it_was_printed() -> None:
    for printed in ('{"says": "hello"}', '{"at": 1}', "[1]", LINE[:-3]):
        assert say_exit(1, printed, 512) == f"It exited with code 1: {printed}"[: len("It exited with code 1: ") + 300]


def test_the_tail_shows_a_log_line_with_its_trace() -> None:
    assert say_tail(f"loading\n{LINE}\nbye").splitlines() == [
        "loading",
        'the column "x" is – odd',
        "Traceback (most recent call last):",
        '  File "/home/me/train.py", line 3, in train',
        "ValueError",
        "bye",
    ]
