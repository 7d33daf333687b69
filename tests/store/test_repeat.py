from pathlib import Path

import msgspec

from evertrain.core.identity import ServiceName, VersionId
from evertrain.core.prediction import Failed, Labelled, Predicted, Record
from evertrain.core.time import Instant
from evertrain.store.log import LogWriter
from evertrain.store.reader import LogReader
from evertrain.store.repeat import Repeats
from evertrain.store.segment import Position

NOW = Instant(1_700_000_000_000_000)
ANSWER = Predicted(
    id="a" * 32,
    service=ServiceName("shop"),
    version=VersionId("v" * 64),
    key="k",
    at=NOW,
    received=NOW,
    row=(1,),
    vector=(1,),
    score=0.5,
    arm="champion",
    assigned="champion",
    latency_us=10,
)
FAILURE = Failed(
    id=ANSWER.id,
    service=ANSWER.service,
    version=ANSWER.version,
    key="k",
    at=NOW,
    received=NOW,
    arm="canary",
    cause="crash",
    detail="",
    latency_us=10,
)


def retries(records: list[tuple[Position, Record]]) -> list[bool]:
    return [record.retry for _, record in records if isinstance(record, Predicted | Failed)]


def test_what_two_workers_answered_under_one_id_counts_once(tmp_path: Path) -> None:
    for name in ("w0", "w1"):
        writer = LogWriter(tmp_path, name, segment_bytes=1 << 16)
        writer.append(FAILURE, ANSWER, msgspec.structs.replace(ANSWER, id=f"only {name}"))
        writer.close()
    with LogReader(tmp_path) as reader:
        assert retries(reader.tail({})) == [False, False, False, True, True, False]
        assert retries(reader.tail({})) == [False, False, False, True, True, False]  # reading again repeats nothing


def test_a_retry_is_known_within_as_many_records_as_are_kept() -> None:
    repeats = Repeats(most=2)
    numbered = [msgspec.structs.replace(ANSWER, id=str(number)) for number in range(4)]
    told = [repeats.marked(number, one) for number, one in enumerate(numbered[:3])]
    again = repeats.marked(9, numbered[1])
    assert told == numbered[:3]
    assert isinstance(again, Predicted)
    assert again.retry
    for number, one in enumerate(numbered[2:], 3):
        repeats.marked(number, one)
    label = Labelled(service=ANSWER.service, prediction="", key="k", value=1.0, known=NOW, received=NOW)
    assert repeats.marked(10, label) is label
