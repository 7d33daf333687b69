"""What is said when a model answers, is refused, or has to wait."""

from pathlib import Path

import msgspec

from evertrain.cli.greeting import Outcome, lines_of

ADDRESS, TOKEN = "http://127.0.0.1:8080", Path("keys/token-data")


def test_an_answer_comes_with_a_request_and_what_may_follow() -> None:
    found = Outcome(state="answers", ordinal=1, example={"name": msgspec.Raw(b'"O\'Neill"')})
    told = lines_of(found, "churn", ADDRESS, TOKEN, "Next door: more.")
    assert told[0].startswith("Version 1 of churn answers")
    assert """-d '{"name":"O'"'"'Neill"}' http""" in told[1]
    assert "labels/churn (token: keys/token-data)" in told[2]
    assert "evertrain push" in told[3]
    assert told[-1] == "Next door: more."
    optional = lines_of(msgspec.structs.replace(found, optional=11), "churn", ADDRESS, TOKEN, "Next door: more.")
    assert optional[4].startswith("All 11 columns are optional, and what is left out counts as missing;")
    assert "" not in lines_of(found, "churn", ADDRESS, TOKEN, "")


def test_a_refusal_comes_with_its_reason() -> None:
    found = Outcome(state="refused", ordinal=1, why="it raises KeyError")
    told = lines_of(found, "churn", ADDRESS, TOKEN, "")
    assert "does not answer: it raises KeyError" in told[0]


def test_what_waits_says_for_what() -> None:
    found = Outcome(state="waits", ordinal=1, why="Too few rows are mature.")
    told = lines_of(found, "churn", ADDRESS, TOKEN, "")
    assert told[0] == "The model of churn does not answer yet. Too few rows are mature."


def test_a_file_that_was_followed_by_another_says_which_answers() -> None:
    found = Outcome(state="another", ordinal=1, champion=2)
    told = lines_of(found, "churn", ADDRESS, TOKEN, "")
    assert told[0] == "Version 2 of churn answers at http://127.0.0.1:8080/predict/churn."
    assert told[1] == "The file given is version 1, which does not."
    found.why = "it raises KeyError"
    assert lines_of(found, "churn", ADDRESS, TOKEN, "")[1].endswith("does not: it was refused: it raises KeyError")
    found.state = "ended"
    assert lines_of(found, "churn", ADDRESS, TOKEN, "")[1].endswith("which does not: it raises KeyError")
