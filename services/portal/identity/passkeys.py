"""Passkeys (WebAuthn): a key that the browser or a device keeps, and shows only to this portal's address."""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from typing import Any
from urllib.parse import urlsplit

import msgspec
import webauthn
from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError, NoResultFound
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from deploy.runtime.clock import Clock
from deploy.runtime.settings import Settings, secret
from services.portal.identity.tables import factors

PASSKEY = "passkey"
_ASK_SECONDS = 300
_VERIFIED = UserVerificationRequirement.REQUIRED
"""The device itself asks for a fingerprint, a face or a PIN."""


class Passkeys:
    """Sets passkeys up and checks them, in the caller's transaction.

    What was asked is signed into the form that brings the answer, for this session alone: nothing is kept of a page
    that was only looked at, and a session that has answered has another id, so no answer serves twice.
    """

    def __init__(self, clock: Clock, settings: Settings, name: str) -> None:
        address = urlsplit(settings.public_url)
        self._clock, self._name = clock, name
        self._host = address.hostname or ""
        self._origin = f"{address.scheme}://{address.netloc}"
        self._signer = URLSafeTimedSerializer(secret(settings, "session_secret"), salt="staffel.passkey.v1")
        self.work = _is_name(self._host) and (address.scheme == "https" or self._host == "localhost")
        """Browsers know passkeys for names only, and over https; ``localhost`` is the exception."""

    def offer(self, connection: Connection, owner: str, session_id: str) -> tuple[str, str]:
        """What the browser is asked in order to make one (JSON), and the same signed for the form."""
        options = webauthn.generate_registration_options(
            rp_id=self._host,
            rp_name=self._name,
            user_id=hashlib.sha256(owner.encode()).digest(),
            user_name=owner,
            exclude_credentials=self._mine(connection, owner),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.DISCOURAGED, user_verification=_VERIFIED
            ),
        )
        return webauthn.options_to_json(options), self._sign("make", session_id, options.challenge)

    def take(self, connection: Connection, owner: str, session_id: str, asked: str, answer: str, label: str) -> bool:
        """Set a passkey up, if this answers what was asked."""
        try:
            made = webauthn.verify_registration_response(
                credential=answer,
                expected_challenge=self._challenge("make", session_id, asked),
                expected_rp_id=self._host,
                expected_origin=self._origin,
                require_user_verification=True,
            )
            with connection.begin_nested():
                connection.execute(
                    insert(factors).values(
                        factor_id=secrets.token_urlsafe(16),
                        owner=owner,
                        kind=PASSKEY,
                        label=label,
                        credential_id=made.credential_id,
                        public_key=made.credential_public_key,
                        sign_count=made.sign_count,
                        created_at=self._clock.now(),
                    )
                )
        except (WebAuthnException, BadSignature, ValueError, KeyError, TypeError, IntegrityError):
            return False
        return True

    def ask(self, connection: Connection, owner: str, session_id: str) -> tuple[str, str]:
        """What the browser is asked in order to show one of his (JSON), and the same signed for the form."""
        options = webauthn.generate_authentication_options(
            rp_id=self._host, allow_credentials=self._mine(connection, owner), user_verification=_VERIFIED
        )
        return webauthn.options_to_json(options), self._sign("show", session_id, options.challenge)

    def check(self, connection: Connection, owner: str, session_id: str, asked: str, answer: str) -> bool:
        """Whether one of his passkeys answers what was asked."""
        try:
            credential_id = base64url_to_bytes(str(msgspec.json.decode(answer, type=dict[str, Any])["id"]))
            mine = (factors.c.owner == owner, factors.c.kind == PASSKEY, factors.c.credential_id == credential_id)
            row = connection.execute(select(factors).where(*mine)).one()
            shown = webauthn.verify_authentication_response(
                credential=answer,
                expected_challenge=self._challenge("show", session_id, asked),
                expected_rp_id=self._host,
                expected_origin=self._origin,
                credential_public_key=row.public_key,
                credential_current_sign_count=row.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, BadSignature, LookupError, ValueError, TypeError, NoResultFound):
            return False
        used = update(factors).where(*mine).values(sign_count=shown.new_sign_count, used_at=self._clock.now())
        connection.execute(used)
        return True

    def _mine(self, connection: Connection, owner: str) -> list[PublicKeyCredentialDescriptor]:
        mine = select(factors.c.credential_id).where(factors.c.owner == owner, factors.c.kind == PASSKEY)
        return [PublicKeyCredentialDescriptor(id=bytes(found)) for found in connection.scalars(mine)]

    def _sign(self, purpose: str, session_id: str, challenge: bytes) -> str:
        session = hashlib.sha256(session_id.encode()).hexdigest()
        return str(self._signer.dumps([purpose, session, bytes_to_base64url(challenge)]))

    def _challenge(self, purpose: str, session_id: str, asked: str) -> bytes:
        for_what, session, challenge = self._signer.loads(asked, max_age=_ASK_SECONDS)
        if (for_what, session) != (purpose, hashlib.sha256(session_id.encode()).hexdigest()):
            raise BadSignature("asked of somebody else")
        return base64url_to_bytes(challenge)


def _is_name(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(host)
    return False
