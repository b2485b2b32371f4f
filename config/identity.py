"""Who calls: bearer tokens verified, and what they say of their bearer. What a caller may do is said by each server."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import jwt

from config.keys import Keys, keys_of
from config.settings import Settings

logger = logging.getLogger(__name__)

Role: TypeAlias = Literal["customer", "seller", "analyst", "operator"]

ROLES: frozenset[str] = frozenset(get_args(Role))
LEEWAY_S = 10  # that two machines' clocks may differ by
TOKEN_CHARACTERS = 8_192  # of a token, at most: far more than any needs, and little to parse in vain
CACHED = 1_024  # tokens whose verification is remembered until they expire


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever sent a request."""

    #: The ``sub`` of their token; empty where the server runs open and nobody says who they are.
    sub: str
    roles: frozenset[str]


#: With READSIDE_AUTH=open everybody on this machine is the operator.
ANYONE = Caller(sub="", roles=frozenset({"operator"}))


class Unidentified(Exception):
    """A request that has to say who sends it, and does not, or with a token that is not valid."""

    def __init__(self, detail: str, *, presented: bool) -> None:
        super().__init__(detail)
        self.detail = detail
        #: The header WWW-Authenticate of the answer (RFC 6750, 3).
        self.challenge = 'Bearer realm="readside"' + (', error="invalid_token"' if presented else "")


class Identity:
    """Tells callers from their ``Authorization`` headers. Made once a process; raises ``NoKey`` where it could not."""

    def __init__(self, settings: Settings) -> None:
        self._verifier = _Verifier(settings) if settings.auth == "jwt" else None
        if self._verifier is None and (settings.jwt_key or settings.jwks):
            logger.warning(
                "there is a key, and nobody is asked for a token; set READSIDE_AUTH=jwt", extra={"action": "auth_open"}
            )

    @property
    def asks(self) -> bool:
        """Whether callers differ at all."""
        return self._verifier is not None

    def caller(self, headers: Sequence[tuple[bytes, bytes]]) -> Caller | None:
        """Whoever sent a request with these ASGI headers; None who does not say. Raises `Unidentified`."""
        if self._verifier is None:
            return ANYONE
        given = [value for name, value in headers if name == b"authorization"]
        if not given:
            return None
        scheme, _, token = given[0].decode("latin-1").partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer":
            raise Unidentified("the header Authorization is not one of the form: Bearer <token>", presented=True)
        return self._verifier.verified(token.strip())

    def required(self, headers: Sequence[tuple[bytes, bytes]]) -> Caller:
        """The same, where everybody has to say. Raises `Unidentified`."""
        caller = self.caller(headers)
        if caller is None:
            raise Unidentified(
                "there is no token; send one in the header Authorization: Bearer <token>", presented=False
            )
        return caller


class _Verifier:
    def __init__(self, settings: Settings) -> None:
        self._keys: Keys = keys_of(settings)
        self._issuer, self._audience = settings.jwt_issuer or None, settings.jwt_audience or None
        self._known: dict[bytes, tuple[float, Caller]] = {}
        self._lock = threading.Lock()

    def verified(self, token: str) -> Caller:
        """The bearer of a token, verified now or not long ago."""
        if len(token) > TOKEN_CHARACTERS:
            raise Unidentified(f"the token has more than {TOKEN_CHARACTERS} characters", presented=True)
        digest = hashlib.sha256(token.encode()).digest()  # not the token: whoever sees the memory could use it
        known = self._known.get(digest)
        if known is not None and time.time() < known[0]:
            return known[1]
        claims = self._claims(token)
        caller = Caller(sub=_subject(claims), roles=_roles(claims))
        self._remember(digest, _expiry(claims) + LEEWAY_S, caller)
        return caller

    def _remember(self, digest: bytes, until: float, caller: Caller) -> None:
        with self._lock:
            self._known.pop(digest, None)
            if len(self._known) >= CACHED:
                del self._known[next(iter(self._known))]  # the oldest; its bearer pays for one verification
            self._known[digest] = (until, caller)

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            key = self._keys.find(jwt.get_unverified_header(token).get("kid"))
            if key is None:
                raise Unidentified("the token's kid names no key of this server", presented=True)
            return jwt.decode(
                token,
                key.value,
                algorithms=[key.algorithm],
                options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_S,
            )
        except Unidentified:
            raise
        except jwt.ExpiredSignatureError:
            raise Unidentified("the token has expired; get a new one", presented=True) from None
        except jwt.ImmatureSignatureError:
            raise Unidentified("the token is not valid yet", presented=True) from None
        except Exception as error:
            # Whatever a library makes of a text that anybody may send: it is no valid token. No part of it is repeated.
            raise Unidentified(f"the token is not valid ({type(error).__name__})", presented=True) from None


def _expiry(claims: dict[str, Any]) -> float:
    """Seconds since the epoch. A number of any size is valid JSON, and not every one is a float."""
    exp = claims["exp"]
    if not isinstance(exp, int | float):
        raise Unidentified("the token's exp is not a number", presented=True)
    return min(exp, time.time() + 86_400.0)


def _subject(claims: dict[str, Any]) -> str:
    sub = claims["sub"]
    if not isinstance(sub, str) or not 1 <= len(sub) <= 255 or not sub.isprintable():
        raise Unidentified("the token's sub is not a printable text of 1 to 255 characters", presented=True)
    return sub


def _roles(claims: dict[str, Any]) -> frozenset[str]:
    """The roles that mean something here; a token may name others, for others."""
    roles: object = claims.get("roles", [])
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise Unidentified("the token's roles are not a list of texts", presented=True)
    return ROLES.intersection(roles)
