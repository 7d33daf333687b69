"""The gate: verdicts for good, bad, broken and unmeasurable challengers, and its error rates by simulation."""

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from evertrain.core.bound import clopper_pearson
from evertrain.core.gate import GateEvidence, Health, Judgement, judge
from evertrain.core.policy import GateSpec
from evertrain.core.power import chance_to_pass, plan_labels, unpassable
from evertrain.core.time import DAY, HOUR

Floats = NDArray[np.float64]

SPEC = GateSpec(margin=0.02, anchor_margin=0.04, max_flips=0.25)
HEALTHY = Health(golden=12, p99_ms=3.0, memory_mb=200.0)


class World:
    """Seven days of rows whose errors come in storms, and versions that know the truth more or less well."""

    def __init__(self, seed: int = 0, rows: int = 3000) -> None:
        self.rng = np.random.default_rng(seed)
        self.rows = rows
        self.at = np.sort(self.rng.integers(0, 7 * DAY, rows))
        self.hour = (self.at // (3 * HOUR)).astype(np.int64)
        self.logit: Floats = self.rng.normal(-1, 1.5, rows)
        storm = self.rng.normal(0, 0.5, int(self.hour.max()) + 1)[self.hour]
        self.label: Floats = (self.rng.random(rows) < 1 / (1 + np.exp(-(self.logit + storm)))).astype(np.float64)

    def version(self, noise: float = 0.3) -> Floats:
        common = self.rng.normal(0, noise, int(self.hour.max()) + 1)[self.hour]
        scores: Floats = 1 / (1 + np.exp(-(self.logit + common + self.rng.normal(0, noise, self.rows))))
        return scores

    def evidence(self, challenger: Floats, champion: Floats | None = None, **more: object) -> GateEvidence:
        base = GateEvidence(
            health=HEALTHY,
            label=self.label,
            at=self.at,
            challenger=challenger,
            champion=champion,
            base_rate=float(self.label.mean()),
        )
        return msgspec.structs.replace(base, **more)


def status_of(judgement: Judgement, name: str) -> str:
    return next(one.status for one in judgement.criteria if one.name == name)


def test_a_challenger_as_good_as_the_champion_passes_and_is_not_called_better() -> None:
    world = World(1)
    judgement = judge(world.evidence(world.version(), world.version()), SPEC)
    assert judgement.verdict == "pass"
    assert not judgement.better
    assert status_of(judgement, "better") == "informative"
    assert any("within the margin 0.02" in reason for reason in judgement.reasons)


def test_a_gain_is_said_as_a_gain() -> None:
    world = World(1)
    judgement = judge(world.evidence(world.version(0.1), world.version(1.5)), SPEC)
    [found] = [one for one in judgement.criteria if one.name == "not worse than the champion"]
    assert found.status == "pass"
    assert found.figure is not None
    assert found.interval is not None
    assert found.interval[1] < 0
    assert (
        found.words
        == f"{SPEC.primary} is {-found.figure:.4f} lower (at least {-found.interval[1]:.4f}), within the margin 0.02"
    )


def test_a_clearly_better_challenger_is_called_so() -> None:
    world = World()
    judgement = judge(world.evidence(world.version(0.1), world.version(0.9)), SPEC)
    assert (judgement.verdict, judgement.better) == ("pass", True)


def test_inverted_scores_fail_at_the_constant_already() -> None:
    world = World()
    judgement = judge(world.evidence(1 - world.version(), world.version()), SPEC)
    assert judgement.verdict == "fail"
    assert status_of(judgement, "constant") == "fail"
    assert status_of(judgement, "not worse than the champion") == "fail"
    assert "that of a constant" in judgement.reasons[0]


@pytest.mark.parametrize("primary", ["log_loss", "auc", "brier"])
def test_a_constant_challenger_fails(primary: str) -> None:
    world = World()
    flat = np.full(world.rows, float(world.label.mean()))
    spec = msgspec.structs.replace(SPEC, primary=primary)
    assert judge(world.evidence(flat, world.version()), spec).verdict == "fail"
    assert judge(world.evidence(flat), spec).verdict == "fail"


def test_without_a_champion_the_verdict_is_about_health_only() -> None:
    world = World()
    assert judge(world.evidence(world.version()), SPEC).verdict == "health only"


def test_a_difference_that_is_neither_shown_nor_excluded_is_inconclusive() -> None:
    world = World(1)
    tight = msgspec.structs.replace(SPEC, margin=0.0005)
    judgement = judge(world.evidence(world.version(), world.version()), tight)
    assert judgement.verdict == "inconclusive"
    assert "more labels would tell" in judgement.reasons[0]


def test_fewer_than_twenty_blocks_are_inconclusive_and_name_the_remedy() -> None:
    world = World()
    days = msgspec.structs.replace(SPEC, block=DAY)
    judgement = judge(world.evidence(world.version(), world.version()), days)
    assert judgement.verdict == "inconclusive"
    assert "7 blocks of 1d in 3000 rows, 20 are needed: declare a longer holdout or shorter blocks" in "".join(
        judgement.reasons
    )


def test_no_rows_at_all_are_inconclusive() -> None:
    nothing, no_times = np.array([], dtype=np.float64), np.array([], dtype=np.int64)
    evidence = GateEvidence(
        health=HEALTHY, label=nothing, at=no_times, challenger=nothing, champion=nothing, base_rate=0.2
    )
    assert judge(evidence, SPEC).verdict == "inconclusive"


def test_a_loss_that_many_small_ones_add_up_to_is_seen_against_the_anchor() -> None:
    world = World()
    anchor = world.version(0.1)
    champion = world.version(0.8)
    challenger = np.clip(champion + 1e-4, 0, 1)
    judgement = judge(world.evidence(challenger, champion, anchor=anchor), SPEC)
    assert status_of(judgement, "not worse than the champion") == "pass"
    assert status_of(judgement, "not worse than the anchor") == "fail"
    assert judgement.verdict == "fail"


@pytest.mark.parametrize(
    ("health", "verdict", "words"),
    [
        (Health(cause="segfault while it was being queried"), "error", "segfault"),
        (Health(golden=12, golden_failed=1), "error", "11 of 12 golden requests"),
        (Health(golden=12, p99_ms=900.0), "fail", "900.0 ms, over 100 ms"),
        (Health(golden=12, p99_ms=900.0, own_p99_ms=101.0), "fail", "900.0 ms, over 100 ms"),
        (Health(golden=12, p99_ms=900.0, own_p99_ms=12.0), "pass", "within the margin"),
        (Health(golden=12, memory_mb=9000.0), "fail", "9000.0 MB, over 2048 MB"),
        (Health(golden=12, p99_ms=900.0, timed=False), "pass", "within the margin"),
    ],
)
def test_what_the_check_server_saw_decides_first(health: Health, verdict: str, words: str) -> None:
    world = World()
    judgement = judge(world.evidence(world.version(), world.version(), health=health), SPEC)
    assert judgement.verdict == verdict
    assert any(words in reason for reason in judgement.reasons)


def test_a_score_that_is_no_number_is_an_error() -> None:
    world = World()
    broken = world.version()
    broken[17] = np.nan
    judgement = judge(world.evidence(broken, world.version()), SPEC)
    assert judgement.verdict == "error"
    assert "1 of 3000 scores are not finite" in judgement.reasons[0]


@pytest.mark.parametrize("bad", [np.nan, -1.0, 0.0])
def test_evaluation_weights_that_cannot_be_are_an_error(bad: float) -> None:
    world = World()
    weight = np.ones(world.rows)
    weight[:] = bad if bad == 0.0 else weight
    weight[3] = bad
    judgement = judge(world.evidence(world.version(), world.version(), weight=weight), SPEC)
    assert judgement.verdict == "error"
    assert "weight" in judgement.reasons[0]


def test_weights_that_count_turn_the_verdict() -> None:
    # Sharp on the light rows, inverted on the heavy ones: better without the weights, refused with them.
    world = World()
    heavy = world.rng.random(world.rows) < 0.05
    champion = world.version(0.6)
    challenger = np.where(heavy, 1 - champion, world.version(0.05))
    weight = np.where(heavy, 50.0, 1.0)
    spec = msgspec.structs.replace(SPEC, max_flips=1.0)
    assert judge(world.evidence(challenger, champion, weight=weight), spec).verdict == "fail"
    unweighted = judge(world.evidence(challenger, champion), spec)
    assert status_of(unweighted, "constant") == "pass"


def test_a_harmed_segment_fails_and_a_small_one_is_said_to_be_insufficient() -> None:
    world = World()
    champion = world.version()
    origin = np.array(["EWR", "JFK", "LGA"])[world.rng.integers(0, 3, world.rows)]
    origin[:40] = "SWF"
    protect = msgspec.structs.replace(SPEC, protect=("origin",), margin=0.2, max_flips=1.0)
    harmless = world.evidence(world.version(), champion, segments={"origin": origin.tolist()})
    harmful = msgspec.structs.replace(
        harmless, challenger=np.where(origin == "JFK", 0.5 + 0.2 * (champion < 0.5), harmless.challenger)
    )
    fine, bad = judge(harmless, protect), judge(harmful, protect)
    assert fine.verdict == "pass"
    small = next(one for one in fine.criteria if one.name == "segment origin=SWF")
    assert (small.status, small.words) == ("informative", "insufficient: 40 labels that count, 200 are needed")
    assert bad.verdict == "fail"
    assert [one.name for one in bad.criteria if one.status == "fail"] == ["segment origin=JFK"]


def test_a_protected_column_that_is_not_there_is_an_error_and_no_silent_pass() -> None:
    world = World()
    protect = msgspec.structs.replace(SPEC, protect=("origin",))
    judgement = judge(world.evidence(world.version(), world.version()), protect)
    assert judgement.verdict == "error"
    assert "'origin'" in judgement.reasons[0]


def test_too_many_cases_that_become_wrong_fail() -> None:
    world = World()
    judgement = judge(
        world.evidence(world.version(0.5), world.version(0.5)), msgspec.structs.replace(SPEC, max_flips=0.01)
    )
    assert status_of(judgement, "negative flips") == "fail"


def test_the_gate_of_a_regression_has_no_flips() -> None:
    world = World()
    target = world.logit + world.rng.normal(0, 0.5, world.rows)
    evidence = world.evidence(
        world.logit + world.rng.normal(0, 0.1, world.rows),
        world.logit + world.rng.normal(0, 0.1, world.rows),
        label=target,
        base_rate=float(target.mean()),
    )
    judgement = judge(evidence, msgspec.structs.replace(SPEC, primary="rmse", margin=0.05))
    assert judgement.verdict == "pass"
    assert "negative flips" not in {one.name for one in judgement.criteria}


def test_the_same_evidence_gives_the_same_judgement_and_cards_travel_as_json() -> None:
    world = World()
    evidence = world.evidence(world.version(), world.version())
    one, two = judge(evidence, SPEC, seed=4), judge(evidence, SPEC, seed=4)
    assert one == two
    assert msgspec.json.decode(msgspec.json.encode(one), type=Judgement) == one


def test_error_rates_of_the_claims_and_the_power_that_was_planned() -> None:
    # The margin is planned from the noise of equal versions, as `evertrain plan` does.
    noises = []
    for seed in range(20):
        world = World(1000 + seed, rows=1500)
        judgement = judge(world.evidence(world.version(), world.version()), SPEC)
        found = next(one for one in judgement.criteria if one.name == "not worse than the champion")
        assert found.interval is not None
        noises.append((found.interval[1] - found.interval[0]) / 3.29)
    margin = 2.8 * float(np.mean(noises))
    spec = msgspec.structs.replace(SPEC, margin=margin, max_flips=1.0)
    runs, passed, better, failed = 250, 0, 0, 0
    for seed in range(runs):
        world = World(seed, rows=1500)
        judgement = judge(world.evidence(world.version(), world.version()), spec, seed=seed)
        passed += judgement.verdict == "pass"
        better += judgement.better
        failed += judgement.verdict == "fail"
    assert passed / runs >= 0.8
    assert clopper_pearson(better, runs)[0] <= 0.05
    assert clopper_pearson(failed, runs)[0] <= 0.05


def test_a_plan_scales_with_the_square_of_the_noise() -> None:
    spec = GateSpec(margin=0.01)
    little, much = (plan_labels(spec, error=error, blocks=28, labels=6000) for error in (0.005, 0.01))
    assert much.blocks == pytest.approx(4 * little.blocks, abs=4)
    assert much.span == much.blocks * spec.block
    assert little.chance > much.chance
    assert chance_to_pass(spec, 0.01) == pytest.approx(0.259, abs=0.001)


def test_a_margin_that_nothing_could_pass_is_recognised() -> None:
    assert unpassable(GateSpec()) is None
    assert unpassable(GateSpec(), error=0.004) is None
    assert "with chance" in (unpassable(GateSpec(margin=0.0001), error=0.02) or "")
    assert "declare a holdout of" in (unpassable(GateSpec(holdout=DAY)) or "")
    assert unpassable(GateSpec(primary="auc", holdout=DAY)) is None
