"""A small OpenID Connect provider over real HTTP: signs its own tokens, demands PKCE, and can be made to lie."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from typing import Any
from urllib.parse import parse_qs, urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

from services.kit.listening import listening

CLIENT, SECRET = "staffel-portal", "provider-secret"


class IdentityProvider:
    """Whoever comes is ``person``, at once. ``lies`` change the token's claims; None takes one away."""

    def __init__(self, port: int) -> None:
        self.issuer = f"http://127.0.0.1:{port}"
        self.person: dict[str, Any] = {"sub": "s-1", "preferred_username": "anna", "groups": ["channel-approvers"]}
        self.lies: dict[str, Any] = {}
        self.key = self.published = ECKey.generate_key("P-256", {"kid": "one"})
        self.header: dict[str, Any] = {"alg": "ES256", "kid": "one"}
        self.calls_itself = self.issuer
        self.keys_read = 0
        self._asked: dict[str, dict[str, str]] = {}
        routes = [
            Route("/.well-known/openid-configuration", self._document),
            Route("/keys", self._keys),
            Route("/authorize", self._authorize),
            Route("/token", self._token, methods=["POST"]),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        socket = listening("127.0.0.1", port, "the provider")
        self._thread = threading.Thread(target=self._server.run, args=([socket],))
        self._thread.start()

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def rotate(self) -> None:
        """Sign with another key from now on."""
        self.key = self.published = ECKey.generate_key("P-256", {"kid": "two"})
        self.header["kid"] = "two"

    async def _document(self, _: Request) -> JSONResponse:
        found = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse({"issuer": self.calls_itself} | {k: f"{self.issuer}/{v}" for k, v in found.items()})

    async def _keys(self, _: Request) -> JSONResponse:
        self.keys_read += 1
        return JSONResponse(KeySet([self.published]).as_dict(private=False))

    async def _authorize(self, request: Request) -> RedirectResponse:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = secrets.token_urlsafe(8)
        self._asked[code] = asked
        query = urlencode({"code": code, "state": asked["state"], "iss": self.issuer})
        return RedirectResponse(f"{asked['redirect_uri']}?{query}", 303)

    async def _token(self, request: Request) -> JSONResponse:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        login = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        asked = self._asked.pop(form["code"], None)
        digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).rstrip(b"=").decode()
        if asked is None or request.headers.get("authorization") != f"Basic {login}":
            return JSONResponse({"error": "invalid_grant"}, 400)
        if digest != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": asked["nonce"]}
        claims |= self.person | self.lies
        claims = {name: value for name, value in claims.items() if value is not None}
        token = jwt.encode(self.header, claims, self.key, algorithms=["ES256", "HS256", "none"])
        return JSONResponse({"id_token": token, "access_token": "x", "token_type": "Bearer"})
