"""Whom the controller tells of what happens."""

from collections.abc import Iterator

import pytest

from evertrain.testing.receiver import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        yield made
