"""A request that two workers answered, because its client asked again: it is on record twice, and counts once.

A worker marks what it is asked twice itself. When it dies between its record and its response, the client's retry goes
to another worker, which cannot know; so whoever reads the log marks it, by the id that both records share.
"""

from collections.abc import Hashable

import msgspec

from evertrain.core.prediction import Failed, Predicted, Record

__all__ = ["Repeats"]


class Repeats:
    """The ids that were read last, at least `most` of them; a retry comes within a minute or so."""

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._new: dict[int, int] = {}
        self._old: dict[int, int] = {}

    def marked(self, place: Hashable, record: Record) -> Record:
        """The record at this place of the log, as a retry when another place had its id before.

        A record that is read a second time is not repeated by that.
        """
        if not isinstance(record, Predicted | Failed) or record.retry:
            return record
        key, own = hash((type(record), record.id)), hash(place)
        first = self._new.get(key) or self._old.get(key)
        if first is None:
            if len(self._new) >= self._most:
                self._old, self._new = self._new, {}
            self._new[key] = own
        elif first != own:
            return msgspec.structs.replace(record, retry=True)
        return record
