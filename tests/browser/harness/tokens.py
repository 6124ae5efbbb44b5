"""Signed tokens (JWT, RFC 7519) of an issuer that exists for these tests alone."""

from __future__ import annotations

import base64
import hashlib
import json
import time

ISSUER = "https://issuer.example"
AUDIENCE = "almanac"

#: An RSA key that protects nothing. It is written out, because making one takes seconds.
MODULUS = int(
    "de97fec60d0e85ac9fa671326af6b4364c518b7274fe6a6bf85a9bdfcee664283228b22de4f3093b"
    "25e1db0b88b0bc2125afe57fc2728e3169232c6efb34c8593ab02e40ddc019eeaba7462f4b5560b3"
    "825f70e311bafdf957d32011cfd654b61a8dc04f1dd0907072a7c47f251f4eba81c8ec9eb214e767"
    "2e50a14763233ab1c13585d3083985a43ec4e0f50bd6790e51b720f7dc6a187964de9ee453ae32d5"
    "b743f1cb8a20ca910cfb1a504bbaee4de9f78c1b54e5c118c2c460cf984d0a7656d3c4e378f9872e"
    "4f816cfd8476f3aa16fdf76d6ff5ee9685f7bb13de69fe518e89d30557b8c6596b1b9a55224b01ac"
    "fb50579ae3bcb2aa04df47e64b844225",
    16,
)
EXPONENT = 65537
PRIVATE_EXPONENT = int(
    "5a3b8b3a85b873ffbcdd752dac5142f9c533992fab6026e135d54fdd5e108f06ac594aec1d24ad82"
    "9df751c5a48235abca373a4a9c170c052e4ae536e7fb9c411a4553baaa7f0baec5eebd1e16e50e9a"
    "3628b2539a05b9f15b3a13d9f9ed3727202f2e31e432d3c52c4aa34baca4bafebd4b272afda2f3b0"
    "7959e8c6f8d7cdc682082edc33c0d2f9a93dddae2a110f30a82e66b00b364351e99fb801937b501b"
    "6c5a1330ce3944e9c94c74fd840fed3202da4c94b8aa241e70b320244291481299949bed2dbb32ce"
    "cd10d031034f689e303e0e66fadc698f51c386019fb72459035b16a28ff6b13be9cb1db567a7aa7a"
    "a8ef68f2675987b8e8242d38f6b2d29",
    16,
)

#: Prefix of a SHA-256 digest in a signature (RFC 8017, section 9.2).
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return _encode(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def key_set() -> str:
    """Returns the issuer's public key as a JWKS (RFC 7517)."""
    key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "tests"}
    return json.dumps({"keys": [key | {"n": _number(MODULUS), "e": _number(EXPONENT)}]})


def token(subject: str, scope: str, seconds: float) -> str:
    """Returns a token that expires in so many seconds, signed with RS256 (RFC 7518)."""
    header = {"alg": "RS256", "typ": "JWT", "kid": "tests"}
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": subject, "scope": scope}
    claims["exp"] = int(time.time() + seconds)  # type: ignore[assignment]
    signed = ".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
    digest = DIGEST_INFO + hashlib.sha256(signed.encode()).digest()
    size = (MODULUS.bit_length() + 7) // 8
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    signature = pow(int.from_bytes(padded, "big"), PRIVATE_EXPONENT, MODULUS)
    return f"{signed}.{_encode(signature.to_bytes(size, 'big'))}"
