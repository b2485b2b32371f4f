"""The keys that bearer tokens are verified with. Each is for one algorithm; what a token's header asks for chooses none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm, RSAAlgorithm

from config.settings import Settings

SECRET_BYTES = 32  # of HS256, at least: as long as the hash (RFC 7518, 3.2)
RSA_BITS = 2048  # of RS256, at least (RFC 7518, 3.3)


class NoKey(ValueError):
    """The settings give nothing to verify tokens with; the message says what to set, and holds nothing of a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key and the one algorithm it is for."""

    algorithm: Literal["HS256", "RS256"]
    value: bytes | RSAPublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A single key for every token, or the keys of a JWKS by their ``kid``."""

    single: Key | None = None
    #: None holds the key of tokens that name none.
    by_kid: Mapping[str | None, Key]

    def find(self, kid: object) -> Key | None:
        """The key for a token whose header has this ``kid``."""
        if self.single is not None:
            return self.single
        return self.by_kid.get(kid) if isinstance(kid, str | None) else None


def keys_of(settings: Settings) -> Keys:
    """The keys of READSIDE_JWT_KEY or READSIDE_JWKS. Raises `NoKey`."""
    if settings.jwt_key is not None and settings.jwks is not None:
        raise NoKey("READSIDE_JWT_KEY and READSIDE_JWKS are both set; keep the one that callers' tokens are made for")
    if settings.jwt_key is not None:
        return Keys(single=_key(settings.jwt_key.get_secret_value()), by_kid={})
    if settings.jwks is not None:
        return Keys(by_kid=_key_set(settings.jwks))
    raise NoKey(
        f"READSIDE_AUTH is jwt and there is no key; set READSIDE_JWT_KEY (a secret of {SECRET_BYTES} bytes or more, or "
        "an RSA public key in PEM) or READSIDE_JWKS (the path of a JWKS file)"
    )


def _key(text: str) -> Key:
    """The key of READSIDE_JWT_KEY. What looks like any other kind of key must not become a secret that is public."""
    text = text.strip()
    if text.startswith(("-----BEGIN", "ssh-", "{")):
        return Key(algorithm="RS256", value=_public_key(text.replace("\\n", "\n")))  # one line in many an .env file
    if len(secret := text.encode()) < SECRET_BYTES:
        raise NoKey(
            f"READSIDE_JWT_KEY has {len(secret)} bytes and HS256 needs {SECRET_BYTES}; make one with: openssl rand -hex 32"
        )
    return Key(algorithm="HS256", value=secret)


def _public_key(pem: str) -> RSAPublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise NoKey(
            "READSIDE_JWT_KEY is not an RSA public key in PEM (-----BEGIN PUBLIC KEY-----); of a private key take: "
            "openssl pkey -in private.pem -pubout; a JWKS goes into a file that READSIDE_JWKS names"
        ) from error
    if not isinstance(key, RSAPublicKey) or key.key_size < RSA_BITS:
        raise NoKey(f"READSIDE_JWT_KEY holds a public key that is not RSA of {RSA_BITS} bits or more; RS256 needs one")
    return key


def _key_set(path: Path) -> dict[str | None, Key]:
    """The keys of a JWKS file that fit HS256 or RS256; others may stand beside them."""
    try:
        listed: object = json.loads(path.read_bytes())["keys"]
        if not isinstance(listed, list):
            raise TypeError(listed)
        found = [(jwk.get("kid"), key) for jwk in listed if (key := _fitting(jwk)) is not None]
    except OSError as error:
        raise NoKey(f"READSIDE_JWKS names {path}, which cannot be read: {error.strerror}") from error
    except NoKey as error:
        raise NoKey(f"READSIDE_JWKS names {path}, {error}") from error
    except (ValueError, LookupError, TypeError, AttributeError, jwt.PyJWTError) as error:
        raise NoKey(f'READSIDE_JWKS names {path}, which is no JWKS; it must hold {{"keys": [...]}}') from error
    keys = dict(found)
    if not keys or len(keys) < len(found):
        wrong = "no key that fits RS256 or HS256" if not keys else "two keys of one kid"
        raise NoKey(f"READSIDE_JWKS names {path}, which has {wrong}")
    return keys


def _fitting(jwk: dict[str, Any]) -> Key | None:
    """The key, where its type, algorithm and use are for verifying HS256 or RS256."""
    fits = {"RSA": "RS256", "oct": "HS256"}.get(jwk["kty"])
    verifies = jwk.get("use", "sig") == "sig" and "verify" in jwk.get("key_ops", ["verify"])
    if fits is None or jwk.get("alg", fits) != fits or not verifies:
        return None
    if fits == "HS256":
        secret = HMACAlgorithm.from_jwk(jwk)
        if len(secret) < SECRET_BYTES:
            raise NoKey(f"whose secret {jwk.get('kid')!r} is shorter than {SECRET_BYTES} bytes")
        return Key(algorithm="HS256", value=secret)
    public = RSAAlgorithm.from_jwk(jwk)
    if not isinstance(public, RSAPublicKey):
        raise NoKey(f"whose key {jwk.get('kid')!r} is a private one; give its public part alone")
    if public.key_size < RSA_BITS:
        raise NoKey(f"whose key {jwk.get('kid')!r} has fewer than {RSA_BITS} bits")
    return Key(algorithm="RS256", value=public)
