"""Pseudonyms of personal values: what stands for them in the prediction log.

The same value has the same pseudonym as long as the installation keeps its key, so that predictions and labels of one
entity still meet. Without the key nobody can tell a value from its pseudonym, nor try which value it might be. The key
lies in `serving/`, where workers need it, and is readable by its user alone.
"""

import hmac
import secrets
from collections.abc import Collection, Sequence

from evertrain.core.schema import Value
from evertrain.errors import StateError
from evertrain.store.file import write_atomically
from evertrain.store.state import State

__all__ = ["Pseudonyms"]

_KEY_BYTES = 32
_DIGITS = 32


class Pseudonyms:
    """HMAC-SHA256 under the installation's key, 128 bits of it. The key is read when the first value needs it."""

    def __init__(self, state: State) -> None:
        self._path = state.path / "serving" / "pseudonym.key"
        self._key = b""

    def create(self) -> None:
        """Make a key, unless there is one."""
        if not self._path.exists():
            write_atomically(self._path, secrets.token_bytes(_KEY_BYTES), mode=0o600)

    def of(self, value: str) -> str:
        """The pseudonym of a value; StateError without a key: nothing is written as it is instead."""
        key = self._key or self._load()
        return f"p-{hmac.digest(key, value.encode('utf-8', 'surrogatepass'), 'sha256').hex()[:_DIGITS]}"

    def hide(self, values: Sequence[Value], places: Collection[int]) -> tuple[Value, ...]:
        """The same values, with pseudonyms at these places. What is missing stays missing."""
        return tuple(
            self.of(value if isinstance(value, str) else repr(value))
            if place in places and value is not None
            else value
            for place, value in enumerate(values)
        )

    def _load(self) -> bytes:
        try:
            self._key = self._path.read_bytes()
        except FileNotFoundError as error:
            raise StateError(
                f"{self._path} is missing, so personal columns cannot be logged.",
                "Restore it from a backup. Or restart: that makes another, and what was logged meets no new labels.",
            ) from error
        if len(self._key) != _KEY_BYTES:
            raise StateError(f"{self._path} is no key of {_KEY_BYTES} bytes.", "Restore it from a backup.")
        return self._key
