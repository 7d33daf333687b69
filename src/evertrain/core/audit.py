"""What a self-audit finds."""

import msgspec

__all__ = ["Finding", "Report"]


class Finding(msgspec.Struct, frozen=True, order=True):
    """One thing that is not as it was recorded. subject: the file or event; what: how it differs, one sentence."""

    subject: str
    what: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a self-audit. checked: how many of each kind were compared with what vouches for them."""

    findings: tuple[Finding, ...]
    checked: dict[str, int]
    left_out: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return not self.findings
