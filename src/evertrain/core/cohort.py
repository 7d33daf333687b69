"""Who is answered by which arm: a salted hash of the entity, and the id of a prediction."""

import hashlib
from collections.abc import Sequence

import msgspec

from evertrain.core.prediction import ArmName
from evertrain.core.routing import Route
from evertrain.core.schema import Value

__all__ = ["arm_of", "cohort_of", "entity_key", "prediction_id"]

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def entity_key(values: Sequence[Value]) -> str:
    """The key of an example as text: a single column as it is, several as a JSON array.

    >>> entity_key(["c17"]), entity_key(["UA", 1545])
    ('c17', '["UA",1545]')
    """
    if len(values) == 1 and isinstance(values[0], str):
        return values[0]
    return _json.encode(values[0] if len(values) == 1 else list(values)).decode()


def cohort_of(salt: str, key: str) -> float:
    """A number in [0, 1) that is fixed for an entity and a salt, and uniform over entities.

    >>> cohort_of("r1", "c17") == cohort_of("r1", "c17") != cohort_of("r2", "c17")
    True
    """
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def arm_of(route: Route, key: str) -> ArmName:
    """The arm whose share an entity falls in. The canary grows from 0 upwards and the control arm from 1 downwards, so
    a higher share moves nobody back.
    """
    if route.canary is None and route.control is None:
        return "champion"
    cohort = cohort_of(route.salt, key)
    if route.canary is not None and cohort < route.canary.share:
        return "canary"
    if route.control is not None and cohort >= 1.0 - route.control.share:
        return "control"
    return "champion"


def prediction_id(service: str, request: str, position: int, row: Sequence[Value]) -> str:
    """The id of one row of a request that the client named: a retry of the same request is the same prediction.

    >>> prediction_id("churn", "r-1", 0, ("c17", 3)) == prediction_id("churn", "r-1", 0, ("c17", 3))
    True
    """
    return hashlib.blake2b(_msgpack.encode((service, request, position, row)), digest_size=16).hexdigest()
