"""What `evertrain plan` says of the environment that a service declares."""

from collections.abc import Callable

import msgspec

from evertrain.config.declaration import LockSpec, ServiceSpec
from evertrain.core.lock import read_lock
from evertrain.process.declaration.plan import EnvironmentPlan
from evertrain.store.state import State

__all__ = ["plan_environment"]


def plan_environment(
    spec: ServiceSpec, content: Callable[[LockSpec], bytes], state: State | None
) -> EnvironmentPlan | None:
    """Its lock, and how it stands with what is built from it. content: where the lock is read; state: None for none."""
    declared = spec.environment
    if declared is msgspec.UNSET:
        return None
    lock = read_lock(content(declared), declared.name)
    return EnvironmentPlan(
        file=declared.name,
        lock=declared.content,
        packages=len({pin.name for pin in lock.pins}),
        unhashed=len(lock.unhashed),
        standing="not built yet" if state is None else state.environments.standing(declared.content).state,
    )
