"""Which of several recipes is taken, and what is said of it."""

from evertrain.core.rehearsal import Rehearsed, asked_for, choose


def fared(recipe: str, **metrics: float) -> Rehearsed:
    return Rehearsed(recipe=recipe, validation_rows=200, metrics=metrics)


def out(recipe: str) -> Rehearsed:
    return Rehearsed(recipe=recipe, failed="It ran out of memory.")


def test_the_best_by_the_primary_metric_is_taken_whichever_way_is_better() -> None:
    both = [fared("a", log_loss=0.4, auc=0.8), fared("b", log_loss=0.3, auc=0.7)]
    assert choose(both, "log_loss").recipe == "b"
    assert choose(both, "auc").recipe == "a"
    assert choose(both, "auc").reason == "a had the best auc on 200 newer training rows: 0.8000; b 0.7000."


def test_of_equals_the_first_is_taken() -> None:
    assert choose([fared("b", mae=1.0), fared("a", mae=1.0)], "mae").recipe == "b"


def test_a_recipe_that_cannot_be_trained_is_out_and_named() -> None:
    choice = choose([out("a"), fared("b", mae=1.0), fared("c", mae=2.0)], "mae")
    assert choice.recipe == "b"
    assert choice.reason.endswith("c 2.0000. a is out: It ran out of memory.")
    assert choose([out("a"), fared("b", mae=1.0)], "mae").reason.startswith("b is the only one that could be trained.")


def test_nobody_is_taken_when_nobody_can_be_trained() -> None:
    choice = choose([out("a"), out("b")], "mae")
    assert choice.recipe is None
    assert "a is out" in choice.reason
    assert "b is out" in choice.reason


def test_without_figures_the_first_is_taken_and_it_is_said() -> None:
    choice = choose([fared("a"), fared("b")], "auc")
    assert (choice.recipe, choice.reason) == ("a", "Too few rows to compare them on; a is the first by name.")


def test_a_recipe_named_default_runs_alone_unless_others_are_asked_for() -> None:
    assert asked_for("default", ["default", "b"]) == ("default",)
    assert asked_for("b", ["default", "b"]) == ("b",)
    assert asked_for("b, default", ["default", "b"]) == ("default", "b")
    assert asked_for("", ["a"]) == ()
