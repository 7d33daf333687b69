"""The counters of workers, in files that outlive them."""

from pathlib import Path

from evertrain.store.statistics import CAUSES, LATENCY_BOUNDS_US, SHED, Label, Series, Statistics, read_statistics

CHAMPION = Label("shop", "v" * 64, "champion")


def _one(folder: Path) -> Series:
    [series] = read_statistics(folder)
    return series


def test_a_worker_that_starts_again_goes_on_counting(tmp_path: Path) -> None:
    for _ in range(3):
        Statistics(tmp_path, "w0").answered(CHAMPION, rows=2, latency_us=100)
    series = _one(tmp_path)
    assert (series.label, series.answers, series.rows, series.sum_us) == (CHAMPION, 3, 6, 300)


def test_a_latency_falls_into_the_first_bucket_that_holds_it(tmp_path: Path) -> None:
    statistics = Statistics(tmp_path, "w0")
    for latency in (0, LATENCY_BOUNDS_US[0], LATENCY_BOUNDS_US[0] + 1, LATENCY_BOUNDS_US[-1] + 1):
        statistics.answered(CHAMPION, rows=1, latency_us=latency)
    latency_counts = _one(tmp_path).latency
    assert (latency_counts[0], latency_counts[1], latency_counts[-1], sum(latency_counts)) == (2, 1, 1, 4)


def test_each_cause_has_its_own_counter(tmp_path: Path) -> None:
    statistics = Statistics(tmp_path, "w0")
    for number, cause in enumerate(CAUSES):
        for _ in range(number + 1):
            statistics.failed(CHAMPION, cause)
    assert _one(tmp_path).failures == tuple(range(1, len(CAUSES) + 1))


def test_more_names_than_there_is_room_for_are_counted_without_their_name(tmp_path: Path) -> None:
    statistics = Statistics(tmp_path, "w0")
    for number in range(1100):
        statistics.responded(f"service {number}", 200)
    statistics.responded("x" * 500, 200)
    found = read_statistics(tmp_path)
    assert sum(series.answers for series in found) == 1101
    assert [series.answers for series in found if series.label == Label()] == [1101 - (len(found) - 1)]


def test_a_version_without_room_counts_for_its_service_and_arm(tmp_path: Path) -> None:
    """A year of trainings: no request fails for it, and the sums of a service stay right."""
    statistics = Statistics(tmp_path, "w0")
    versions = [Label("shop", f"{number:064}", "canary") for number in range(1000)]
    for label in versions:
        statistics.answered(label, rows=2, latency_us=100)
        statistics.shed(label)
    statistics.responded("shop", 200)
    found = {series.label: series for series in read_statistics(tmp_path)}
    assert Label() not in found
    arms = [series for label, series in found.items() if label.status == 0]
    assert (sum(one.answers for one in arms), sum(one.rows for one in arms)) == (1000, 2000)
    assert found[Label("shop", "", "canary")].answers == 1000 - (len(arms) - 1)
    assert sum(series.answers for label, series in found.items() if label.status == SHED) == 1000
    assert found[Label("shop", status=200)].answers == 1


def test_a_worker_that_starts_on_a_crowded_file_has_room_for_new_versions(tmp_path: Path) -> None:
    statistics = Statistics(tmp_path, "w0")
    versions = [Label("shop", f"{number:064}") for number in range(1000)]
    for label in versions:
        statistics.answered(label, rows=1, latency_us=100)
    newest = Label("shop", "n" * 64)
    again = Statistics(tmp_path, "w0")
    again.answered(newest, rows=1, latency_us=100)
    again.failed(versions[0], "nan")
    found = {series.label: series for series in read_statistics(tmp_path)}
    assert found[newest].answers == 1
    assert found[versions[0]].failures[CAUSES.index("nan")] == 1
    assert found[versions[880]].answers == 1  # of those that had a place, the newest have kept it
    assert versions[1] not in found
    assert sum(series.answers for series in found.values()) == 1001


def test_a_file_that_is_none_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "w9.bin").write_bytes(b"torn")
    Statistics(tmp_path, "w0").responded("shop", 200)
    assert len(read_statistics(tmp_path)) == 1
