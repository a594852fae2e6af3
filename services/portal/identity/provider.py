"""Signing in at the vendor's own identity provider: OpenID Connect, authorization code with PKCE."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Settings
from services.portal.auth import Role
from services.portal.exposure import is_local
from services.portal.identity.staff import read_role

BACK = "/sign-in/back"
_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""With keys that only the provider has; never ``none``, never a secret that we share with it."""
_SECONDS = 5.0
_KEPT_SECONDS, _KEYS_AGAIN_SECONDS = 3600.0, 60.0
_LEEWAY_SECONDS = 60
_NAME_LENGTH_MAX = 40


class NotVouchedFor(Exception):
    """The provider did not say, in a way that can be checked, who somebody is. The message names no person."""


class Asking(NamedTuple):
    """What is remembered in the browser while somebody is at the provider."""

    state: str
    nonce: str
    verifier: str


class Person(NamedTuple):
    """Whom the provider vouches for."""

    subject: str
    name: str
    """What he is called there now; only the subject stays the same."""
    role: Role


class Provider:
    """The provider of the settings. Blocks: call it from a thread."""

    def __init__(self, settings: Settings) -> None:
        """Raises UsageError for settings that can't be. Nothing is asked yet."""
        self.issuer = settings.oidc_issuer
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and not is_local(parts.hostname or ""):
            raise UsageError(f"oidc_issuer can't be {self.issuer!r}", "it begins with https://")
        if not settings.oidc_client_id:
            raise UsageError("oidc_issuer needs oidc_client_id", "give STAFFEL_OIDC_CLIENT_ID")
        self._client_id, self._secret = settings.oidc_client_id, settings.oidc_client_secret
        self._back = settings.public_url.rstrip("/") + BACK
        self._name_claim, self._role_claim = settings.oidc_name_claim, settings.oidc_role_claim
        self._roles = read_roles(settings.oidc_roles)
        self._http = httpx2.Client(timeout=_SECONDS, follow_redirects=False)
        self._document: dict[str, Any] = {}
        self._keys: KeySet | None = None
        self._read_at = self._keys_at = float("-inf")

    def send_to(self) -> tuple[str, Asking]:
        """Where to send the browser, and what to remember of it. Raises NotVouchedFor if the provider is away."""
        asking = Asking(*(secrets.token_urlsafe(32) for _ in Asking._fields))
        digest = hashlib.sha256(asking.verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._back,
            "scope": "openid profile",
            "state": asking.state,
            "nonce": asking.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{self._endpoint('authorization_endpoint')}?{urlencode(query)}", asking

    def person(self, code: str, asking: Asking) -> Person:
        """Whom the provider vouches for with this code. Raises NotVouchedFor."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._back,
            "client_id": self._client_id,
            "code_verifier": asking.verifier,
        }
        login = httpx2.BasicAuth(self._client_id, self._secret) if self._secret else None
        token = self._asked("POST", self._endpoint("token_endpoint"), data=form, auth=login).get("id_token")
        claims = self._claims(str(token), asking.nonce)
        name = str(claims.get(self._name_claim) or claims["sub"])
        return Person(str(claims["sub"]), _plain(name), self._role(claims.get(self._role_claim)))

    def _claims(self, token: str, nonce: str) -> dict[str, Any]:
        registry = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_SECONDS,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": self._client_id},
            nonce={"essential": True, "value": nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        try:
            claims = self._decoded(token).claims
            registry.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise NotVouchedFor(f"the provider's token does not hold: {type(error).__name__}") from None
        ours = claims["aud"] in (self._client_id, [self._client_id])
        if not ours or claims.get("azp", self._client_id) != self._client_id:
            raise NotVouchedFor("the provider's token is for others, too")
        return dict(claims)

    def _decoded(self, token: str) -> jwt.Token:
        try:
            return jwt.decode(token, self._key_set(), algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            # Providers change their keys; but nobody makes us ask for them with each token that he makes up.
            if time.monotonic() - self._keys_at < _KEYS_AGAIN_SECONDS:
                raise
            self._keys = None
            return jwt.decode(token, self._key_set(), algorithms=_ALGORITHMS)

    def _key_set(self) -> KeySet:
        if self._keys is None:
            self._keys = KeySet.import_key_set(self._asked("GET", self._endpoint("jwks_uri")))  # type: ignore[arg-type]
            self._keys_at = time.monotonic()
        return self._keys

    def _endpoint(self, name: str) -> str:
        if time.monotonic() - self._read_at > _KEPT_SECONDS:
            found = self._asked("GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration")
            if found.get("issuer") != self.issuer:
                raise NotVouchedFor("the provider calls itself something else than oidc_issuer")
            self._document, self._read_at = found, time.monotonic()
        address = str(self._document.get(name, ""))
        parts = urlsplit(address)
        if parts.scheme != "https" and not is_local(parts.hostname or ""):
            raise NotVouchedFor(f"the provider's {name} is not https")
        return address

    def _asked(self, method: str, address: str, **more: Any) -> dict[str, Any]:
        try:
            answer = self._http.request(method, address, **more)
            found = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise NotVouchedFor(f"the provider does not answer as it should: {type(error).__name__}") from None
        if answer.status_code != 200 or not isinstance(found, dict):
            raise NotVouchedFor(f"the provider answers with {answer.status_code}")
        return found

    def _role(self, said: Any) -> Role:
        groups = (
            {said} if isinstance(said, str) else {str(group) for group in said} if isinstance(said, list) else set()
        )
        return max((role for group, role in self._roles.items() if group in groups), default=Role.NONE)


def read_roles(text: str) -> dict[str, Role]:
    """The setting ``oidc_roles``: which of the provider's groups may do what. Raises UsageError."""
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, equals, group = part.partition("=")
        if not equals or not group.strip():
            raise UsageError(f"oidc_roles can't hold {part!r}", "write it like approver=channel-approvers,viewer=sales")
        found[group.strip()] = read_role(role.strip())
    if not found:
        raise UsageError("oidc_issuer needs oidc_roles", "write it like approver=channel-approvers,viewer=sales")
    return found


def _plain(name: str) -> str:
    return "".join(letter for letter in name if letter.isprintable()).strip()[:_NAME_LENGTH_MAX] or "unnamed"
