"""The two kinds of access tokens of Label Studio."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable

from prelabel.errors import UserError
from prelabel.label_studio.api.errors import TokenRefusedError

_LIFETIME = 300.0
"""Seconds that an access token is good for, where it does not say so itself."""


class Token:
    """A user's token. May be used by several threads at once.

    A legacy token is sent as it is. A personal access token is exchanged for an access token that
    is good for minutes, and is exchanged again before that expires.
    """

    def __init__(self, token: str, url: str, refresh: Callable[[str], str]) -> None:
        """``url``: the server's address. ``refresh``: gives the access token for a personal one.
        Raises UserError for a token that cannot be sent."""
        token = token.strip()
        if not re.fullmatch(r"[!-~]+", token):
            raise UserError(
                "the Label Studio token is empty or has blanks or other odd characters in it: "
                f"copy it from {url}/user/account"
            )
        self._url = url
        self._token = token
        self._refresh = refresh
        self._access = ""
        self._renew_at = 0.0
        self._renewing = threading.Lock()
        self.personal = token.count(".") == 2  # a JWT; legacy tokens have no dots

    def header(self) -> dict[str, str]:
        """The Authorization header; the access token in it is good for a while. Raises UserError."""
        if not self.personal:
            return {"Authorization": f"Token {self._token}"}
        with self._renewing:
            if time.monotonic() >= self._renew_at:
                asked_at = time.monotonic()
                self._access = self._refresh(self._token)
                lifetime = _lifetime(self._access)
                self._renew_at = asked_at + lifetime - min(30.0, lifetime / 5)
            return {"Authorization": f"Bearer {self._access}"}

    def expire(self, header: dict[str, str]) -> None:
        """Have the access token of a header renewed, unless another thread has done so."""
        with self._renewing:
            if header == {"Authorization": f"Bearer {self._access}"}:
                self._renew_at = 0.0

    def refused(self) -> TokenRefusedError:
        """The error for a token that the server does not accept."""
        legacy = "" if self.personal else " (legacy tokens may be turned off for the organisation)"
        return TokenRefusedError(
            f"{self._url} refuses the token{legacy}: it was revoked, has expired or is of another "
            f"server; get another one at {self._url}/user/account"
        )

    def removed_from(self, text: str) -> str:
        """A text without the token."""
        for secret in filter(None, (self._token, self._access)):
            text = text.replace(secret, "…")
        return text


def _lifetime(access: str) -> float:
    """Seconds that a new access token is good for, by the server's own clock."""
    try:
        part = access.split(".")[1]
        facts = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        seconds = float(facts["exp"]) - float(facts["iat"])
    except (ValueError, KeyError, TypeError, IndexError):
        return _LIFETIME
    return seconds if seconds > 0 else _LIFETIME
