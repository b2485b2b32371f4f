"""Bearer tokens: whose are believed, and which keys are taken to verify them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwt.algorithms import RSAAlgorithm
from pydantic import SecretStr

from config import identity
from config.identity import ANYONE, Caller, Identity, Unidentified
from config.keys import NoKey
from config.settings import Settings
from tests.tokens import SECRET, private_key, private_pem, public_pem, token


def of(key: str = SECRET, **settings: Any) -> Identity:
    """The identity of a server with this key."""
    return Identity(Settings(auth="jwt", jwt_key=SecretStr(key), **settings))


def of_set(path: Path, *keys: dict[str, Any]) -> Identity:
    """The identity of a server with a JWKS file."""
    path.write_text(json.dumps({"keys": keys}))
    return Identity(Settings(auth="jwt", jwks=path))


def caller(who: Identity, text: str) -> Caller | None:
    return who.caller([(b"host", b"x"), (b"authorization", f"Bearer {text}".encode())])


def refused(who: Identity, text: str) -> str:
    """Why a token is not believed; no part of it is in the reason."""
    with pytest.raises(Unidentified) as error:
        caller(who, text)
    assert error.value.challenge == 'Bearer realm="readside", error="invalid_token"'
    assert error.value.__cause__ is None
    assert not text or text not in error.value.detail
    return error.value.detail


def forged(header: dict[str, Any], claims: object, secret: bytes | None = None) -> str:
    """A token put together by hand, signed with HMAC where a secret is given."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = b"" if secret is None else hmac.digest(secret, b".".join(parts), hashlib.sha256)
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def jwk(number: int = 0, **members: Any) -> dict[str, Any]:
    return {**RSAAlgorithm.to_jwk(private_key(number).public_key(), as_dict=True), **members}


def secret_jwk(secret: str = SECRET, **members: Any) -> dict[str, Any]:
    return {"kty": "oct", "k": base64.urlsafe_b64encode(secret.encode()).rstrip(b"=").decode(), **members}


def test_an_open_server_takes_everybody_for_its_operator() -> None:
    who = Identity(Settings())
    assert who.caller([]) is who.caller([(b"authorization", b"Bearer nonsense")]) is ANYONE


def test_a_key_that_nobody_uses_is_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    Identity(Settings())
    assert not caplog.records
    Identity(Settings(jwt_key=SecretStr(SECRET)))
    assert ["set READSIDE_AUTH=jwt" in record.message for record in caplog.records] == [True]
    assert SECRET not in caplog.text


def test_a_token_tells_who_calls_and_their_roles() -> None:
    for who, text in (
        (of(), token("customer", "seller")),
        (of(public_pem()), token("customer", "seller", key=private_key(), alg="RS256")),
        (of(public_pem().replace("\n", "\\n")), token("customer", "seller", "emperor", key=private_key(), alg="RS256")),
    ):
        assert caller(who, text) == caller(who, text) == Caller(sub="7", roles=frozenset({"customer", "seller"}))
        assert who.caller([]) is None


def test_a_token_without_roles_is_nobody_in_particular() -> None:
    assert caller(of(), token(roles=None)) == Caller(sub="7", roles=frozenset())


@pytest.mark.parametrize(
    "bad",
    [
        *({"expires_s": -60}, {"nbf": 2**33}, {"iat": 2**33}, {"exp": None}, {"exp": "x"}),
        *({"exp": [1]}, {"exp": True}, {"exp": str(2**33)}, {"key": "another-secret" * 4}),
        *({"alg": "HS512", "key": SECRET * 2}, {"alg": "none", "key": None}),
        *(
            {"sub": None},
            {"sub": 7},
            {"sub": ""},
            {"sub": "a\nb"},
            {"sub": "a\x00"},
            {"sub": "x" * 256},
            {"sub": ["7"]},
        ),
        *({"roles": "operator"}, {"roles": {"operator": True}}, {"roles": ["operator", 1]}, {"roles": 1}),
    ],
    ids=repr,
)
def test_a_bad_token_is_refused(bad: dict[str, Any]) -> None:
    refused(of(), token("operator", **bad))


def test_numbers_beyond_all_bounds_do_no_harm() -> None:
    ever = forged({"alg": "HS256"}, {"sub": "7", "exp": 10**400}, SECRET.encode())
    assert caller(of(), ever) == Caller(sub="7", roles=frozenset())
    for text in ("1e999", "-1e999", "NaN", "9" * 5000):
        parts = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', b'{"sub":"7","exp":%s}')]
        parts[1] = base64.urlsafe_b64encode(b'{"sub":"7","exp":' + text.encode() + b"}").rstrip(b"=")
        signature = hmac.digest(SECRET.encode(), b".".join(parts), hashlib.sha256)
        refused(of(), b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode())


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "...", "a.b.c", "Bearer", "\x00", "é", "ÿ" * 50, "." * 8192, "x" * 8193, "e30.e30.e30", "a b"),
        base64.urlsafe_b64encode(b"[" * 6000).decode() + ".e30.",
        forged({"alg": "none"}, {"sub": "7", "exp": 2**33}),
        forged({"alg": "None", "typ": "JWT"}, {"sub": "7", "exp": 2**33}),
        forged({"alg": "HS256", "crit": ["b64"], "b64": False}, {"sub": "7", "exp": 2**33}, SECRET.encode()),
        forged({"alg": "HS256", "crit": ["exp"]}, {"sub": "7", "exp": 2**33}, SECRET.encode()),
        forged({"alg": "HS256", "kid": ["x"]}, {"sub": "7", "exp": 2**33}, SECRET.encode()),
        forged({"alg": ["HS256"]}, {"sub": "7", "exp": 2**33}, SECRET.encode()),
        forged({"alg": "HS256"}, ["sub", "exp"], SECRET.encode()),
        forged({"alg": "HS256"}, {"sub": "7", "exp": 2**33}, b""),
    ],
)
def test_garbage_is_refused(text: str) -> None:
    for who in (of(), of(public_pem())):
        refused(who, text)


def test_a_public_key_is_never_taken_for_a_secret() -> None:
    pem = public_pem().encode()
    for secret in (pem, pem.strip()):
        refused(of(public_pem()), forged({"alg": "HS256"}, {"sub": "7", "exp": 2**33}, secret))


def test_a_header_that_is_no_bearers_is_refused() -> None:
    valid = f"Bearer {token('operator')}".encode()
    for headers in (
        [b"Basic abc"],
        [b"Bearer"],
        [b""],
        [token("operator").encode()],
        [valid, valid],
        [b"Token " + valid],
    ):
        with pytest.raises(Unidentified):
            of().caller([(b"authorization", header) for header in headers])
    assert of().caller([(b"authorization", b"bEARER  " + token("operator").encode())])


def test_issuer_and_audience_are_checked_where_they_are_set() -> None:
    assert caller(of(), token(aud="shop", iss="issuer"))
    who = of(jwt_issuer="issuer", jwt_audience="shop")
    assert caller(who, token(aud=["other", "shop"], iss="issuer"))
    for wrong in ({}, {"aud": "shop"}, {"iss": "issuer"}, {"aud": "x", "iss": "issuer"}, {"aud": "shop", "iss": "x"}):
        refused(who, token(**wrong))


def test_a_token_is_verified_once_and_until_it_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    who, text = of(), token("customer", expires_s=600)
    first = caller(who, text)
    monkeypatch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("verified again"))
    assert caller(who, text) is first
    monkeypatch.undo()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 600 + identity.LEEWAY_S + 1)
    monkeypatch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("looked at"))
    with pytest.raises(pytest.fail.Exception):
        caller(who, text)


def test_the_cache_of_tokens_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "CACHED", 3)
    who = of()
    for sub in "abcdefg":
        assert caller(who, token(sub=sub)) == Caller(sub=sub, roles=frozenset())
    refused(who, "garbage")
    assert len(who._verifier._known) == 3  # pyright: ignore


@pytest.mark.parametrize(
    "key",
    [
        *("", "x" * 31, "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----", "ssh-rsa " + "A" * 300),
        json.dumps({"keys": [secret_jwk()]}),
    ],
    ids=["none", "short", "broken", "ssh", "a set"],
)
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(NoKey, match="READSIDE_JWT_KEY") as error:
        of(key)
    assert not key or key not in str(error.value)


def test_a_private_key_is_refused() -> None:
    with pytest.raises(NoKey, match="openssl pkey"):
        of(private_pem())


def test_two_sources_of_keys_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(NoKey, match="both"):
        of(jwks=tmp_path / "jwks.json")


def test_the_kid_chooses_among_the_keys_that_fit(tmp_path: Path) -> None:
    elliptic = {"kty": "EC", "crv": "P-256", "x": "a", "y": "b", "kid": "e"}
    for_encryption, of_another = jwk(1, kid="c", use="enc"), jwk(1, kid="d", alg="RS512")
    who = of_set(tmp_path / "jwks.json", jwk(kid="a"), secret_jwk(kid="b"), for_encryption, of_another, elliptic)
    assert caller(who, token(kid="a", key=private_key(), alg="RS256"))
    assert caller(who, token(kid="b"))
    for key, alg, kid in ((private_key(), "RS256", "b"), (SECRET, "HS256", "a"), (private_key(1), "RS256", "a")):
        refused(who, token(kid=kid, key=key, alg=alg))
    for kid in ("c", "d", "e", "f"):
        assert "kid" in refused(who, token(kid=kid, key=private_key(1), alg="RS256"))
    assert "kid" in refused(who, token(key=private_key(), alg="RS256"))
    refused(who, forged({"alg": "HS256", "kid": "a"}, {"sub": "7", "exp": 2**33}, public_pem().encode()))


def test_a_key_without_kid_is_for_tokens_without(tmp_path: Path) -> None:
    who = of_set(tmp_path / "jwks.json", jwk())
    assert caller(who, token(key=private_key(), alg="RS256"))
    refused(who, token(kid="a", key=private_key(), alg="RS256"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        *((None, "cannot be read"), ("", "no JWKS"), ("[]", "no JWKS"), ('{"keys": {}}', "no JWKS")),
        *(
            ('{"keys": [1]}', "no JWKS"),
            ('{"keys": [{"kty": "RSA"}]}', "no JWKS"),
            ('{"keys": []}', "no key that fits"),
        ),
        (json.dumps({"keys": [secret_jwk("short")]}), "shorter"),
        (json.dumps({"keys": [secret_jwk(kid="a"), secret_jwk(kid="a")]}), "two keys"),
    ],
)
def test_a_file_that_is_no_key_set_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "jwks.json").write_text(text)
    with pytest.raises(NoKey, match=f"READSIDE_JWKS.*{said}"):
        Identity(Settings(auth="jwt", jwks=tmp_path / "jwks.json"))


def test_a_set_with_a_private_key_is_refused(tmp_path: Path) -> None:
    private = RSAAlgorithm.to_jwk(private_key(), as_dict=True)
    with pytest.raises(NoKey, match="private"):
        of_set(tmp_path / "jwks.json", private)


def test_keys_and_tokens_are_not_shown() -> None:
    shown = repr(Settings(auth="jwt", jwt_key=SecretStr(SECRET), token=SecretStr("hidden-token")))
    assert SECRET not in shown
    assert "hidden-token" not in shown
