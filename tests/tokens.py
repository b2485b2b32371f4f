"""Keys of the tests and tokens made with them, as an issuer of tokens would make them."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

SECRET = "a-secret-of-the-tests-with-more-than-32-bytes"


def private_key(number: int = 0) -> rsa.RSAPrivateKey:
    """An RSA key; each number's is another."""
    return _made(number)


@cache
def _made(_number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def public_pem(number: int = 0) -> str:
    """The public part, as an operator would be given it."""
    key = private_key(number).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def private_pem() -> str:
    """The private part, which no server should have."""
    encryption = serialization.NoEncryption()
    return (
        private_key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()
    )


#: Longer than any run of the tests: many of these tokens are made when the tests are collected.
EXPIRES_S = 6 * 3600


def token(
    *roles: str, sub: object = "7", expires_s: float = EXPIRES_S, key: Any = SECRET, alg: str = "HS256", **more: Any
) -> str:
    """A token of a bearer with these roles; ``kid`` is a header, everything else a claim, and None leaves one out."""
    claims = {"sub": sub, "roles": list(roles), "exp": int(time.time() + expires_s), **more}
    headers = {"kid": claims.pop("kid")} if "kid" in claims else None
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None}, key, algorithm=alg, headers=headers
    )


def bearer(*roles: str, sub: object = "7", **more: Any) -> dict[str, str]:
    """The header of a request that carries such a token."""
    return {"Authorization": f"Bearer {token(*roles, sub=sub, **more)}"}
