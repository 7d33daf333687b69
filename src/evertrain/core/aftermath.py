"""What came after a switch that nobody went through step by step: failed requests, held against those before it.

Everything was switched at once, so there is no control arm: the version before is known from before the switch alone. A
cause that came at the same time looks like the version's, and a person who reads the verdict has to know that.

A worker that ends by its own doing takes the request with it that it ended at, and nobody is left to write it down. So
each such end counts as one request that failed.

The evidence is the split of *universal inference* in its predictive form: the probability that a learner gives both
series who knows nothing, against the best that any pair of rates allows by which the new version fails no more often.
It is an e-process for that claim, so it may be looked at at any time; it needs each request to fail on its own.

Sources: Wasserman, Ramdas and Balakrishnan 2020, "Universal inference" (the ratio); Krichevsky and Trofimov 1981, "The
performance of universal encoding" (the learner, whose prior is Beta(1/2, 1/2)).
"""

import math

import msgspec

from evertrain.core.wording import say_many

__all__ = ["Aftermath", "Served"]


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """Answers and failures of one version, in rows and requests that failed. crashed: workers that ended by it."""

    answered: int = 0
    failed: int = 0
    crashed: int = 0

    @property
    def lost(self) -> int:
        return self.failed + self.crashed

    @property
    def asked(self) -> int:
        return self.answered + self.lost


class Aftermath(msgspec.Struct, frozen=True, kw_only=True):
    """before: of the version that was replaced, until the switch; after: of the one that answers since."""

    before: Served = Served()
    after: Served = Served()

    def with_crashes(self, before: int, after: int) -> "Aftermath":
        """The same, with so many workers that ended by their own doing."""
        replace = msgspec.structs.replace
        return Aftermath(before=replace(self.before, crashed=before), after=replace(self.after, crashed=after))

    @property
    def e_value(self) -> float:
        """Evidence that the version fails more often than the one before: by chance it reaches 1/alpha with alpha.

        >>> one = Served(answered=1_000)
        >>> [round(Aftermath(before=one, after=Served(failed=n)).e_value, 1) for n in (0, 1, 2)]
        [0.0, 24.3, 12382.2]
        >>> round(Aftermath(before=one, after=Served(failed=1, crashed=1)).e_value, 1)
        12382.2
        >>> Aftermath(before=one, after=Served(answered=100_000)).e_value < 1
        True
        >>> Aftermath(after=Served(failed=1_000)).e_value  # nothing is known of before
        0.0
        """
        before, after = self.before, self.after
        if not before.asked or not after.asked or after.lost * before.asked <= before.lost * after.asked:
            return 0.0
        pooled = Served(answered=before.answered + after.answered, failed=before.lost + after.lost)
        log = _learned(before) + _learned(after) - _best(pooled)
        return math.exp(min(log, 700.0))

    def says(self) -> str:
        """Both series, in words.

        >>> Aftermath(before=Served(answered=9), after=Served(answered=1, failed=2)).says()
        '2 of 3 requests failed since the switch, and 0 of 9 of the version before it'
        >>> Aftermath(before=Served(answered=9), after=Served(answered=1, crashed=2)).says().partition("; ")[2]
        '2 workers crashed since, and 0 before'
        """
        before, after = self.before, self.after
        said = (
            f"{after.failed:,} of {after.answered + after.failed:,} requests failed since the switch, and "
            f"{before.failed:,} of {before.answered + before.failed:,} of the version before it"
        )
        if not (before.crashed or after.crashed):
            return said
        return f"{said}; {say_many(after.crashed, 'worker')} crashed since, and {before.crashed:,} before"


def _learned(one: Served) -> float:
    """The log of the probability that the learner gives this series, in the order in which it came."""
    log_beta = math.lgamma(one.lost + 0.5) + math.lgamma(one.answered + 0.5) - math.lgamma(one.asked + 1.0)
    return log_beta - math.log(math.pi)


def _best(one: Served) -> float:
    """The log of the greatest probability that one rate gives it."""
    return sum(count * math.log(count / one.asked) for count in (one.lost, one.answered) if count)
