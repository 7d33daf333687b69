"""Who may use the control port: a token in a header, or a session cookie that the token was exchanged for.

The token is compared in constant time and never stored in a cookie; sessions and CSRF tokens are signed with keys that
are derived from it, so a new token ends all sessions.
"""

import hashlib
import secrets
from collections.abc import Mapping

import msgspec
from itsdangerous import BadSignature, URLSafeTimedSerializer

__all__ = ["SESSION_SECONDS", "Access", "Door"]

SESSION_SECONDS = 7 * 24 * 3600


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """The control token, and the host names by which the page may be asked for (against DNS rebinding)."""

    token: str
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")

    def __repr__(self) -> str:
        return f"Access(hosts={self.hosts!r})"


class Door:
    """Checks what a request brings, and makes what a session needs."""

    def __init__(self, access: Access) -> None:
        self._token = access.token.encode()
        self._sessions = URLSafeTimedSerializer(access.token, salt="evertrain session")
        self._forms = URLSafeTimedSerializer(access.token, salt="evertrain form")
        # Cookies do not know ports: two installations on one host keep theirs apart by name.
        self.cookie = "evertrain_" + hashlib.sha256(b"cookie name" + self._token).hexdigest()[:12]

    def knows(self, token: str) -> bool:
        """Whether this is the control token."""
        return secrets.compare_digest(token.encode(), self._token)

    def bears(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries the token in its Authorization header."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self.knows(token.strip())

    def begin(self) -> str:
        """A new session, as the value of its cookie."""
        return self._sessions.dumps(secrets.token_urlsafe(16))

    def session(self, cookies: Mapping[str, str]) -> str | None:
        """The id of the session that a request belongs to; None when it has none, or it is forged or old."""
        return _loaded(self._sessions, cookies.get(self.cookie, ""))

    def form_token(self, session: str) -> str:
        """What a form of this session has to bring back."""
        return self._forms.dumps(session)

    def admits_form(self, session: str, token: str) -> bool:
        """Whether a form was made for this session."""
        made_for = _loaded(self._forms, token)
        return made_for is not None and secrets.compare_digest(made_for.encode(), session.encode())


def _loaded(serializer: URLSafeTimedSerializer, text: str) -> str | None:
    try:
        value = serializer.loads(text, max_age=SESSION_SECONDS)
    except BadSignature:
        return None
    return value if isinstance(value, str) else None
