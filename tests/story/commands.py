"""The product as a user has it: commands, each a process of its own, and the pages of a running stack."""

from __future__ import annotations

import email
import email.policy
import html
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from deploy.runtime.settings import ROOT, Port
from tests.waiting import until

COMMAND = [sys.executable, "-m", "deploy.cli"]
PORTS = {
    "worker": Port.WORKER,
    "notification": Port.NOTIFICATION,
    "payout": Port.PAYOUT,
    "portal": Port.PORTAL_METRICS,
    "mail": Port.INBOX,
    "registry": Port.REGISTRY,
}
SECONDS = 240
"""How long a command may take on a slow machine before something must be wrong."""


def environment() -> dict[str, str]:
    """Ours, without anything that would set Staffel up."""
    kept = {"STAFFEL_JAVA", "STAFFEL_MAVEN_REPO", "STAFFEL_CACHE"}
    own = {name: value for name, value in os.environ.items() if not name.startswith("STAFFEL_") or name in kept}
    # Tier mails collected for a minute would come when nobody waits for them any more.
    return own | {"PYTHONPATH": str(ROOT), "STAFFEL_TIER_MAIL_WAIT_SECONDS": "0"}


class Staffel:
    """A stack in a folder of its own, started, asked and stopped by commands."""

    def __init__(self, data: Path, port_base: int, clock: str) -> None:
        self.data, self.port_base = data, port_base
        self._flags = ["--data", str(data), "--port-base", str(port_base)]
        self._log = (data.parent / "up.log").open("wb")
        self._up = subprocess.Popen(
            [*COMMAND, "up", *self._flags, "--clock", clock, "--json"],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env=environment(),
            cwd=data.parent,
        )

    def wait_ready(self) -> dict[str, Any]:
        """What ``up`` says once everything is ready."""
        assert self._up.stdout is not None
        line = self._up.stdout.readline()
        assert line, (self.data.parent / "up.log").read_text("utf-8", "replace")
        said: dict[str, Any] = json.loads(line)
        return said

    def run(self, *arguments: str, exits: int = 0) -> str:
        """Run a command on this stack and answer its stdout."""
        done = subprocess.run(
            [*COMMAND, *arguments, "--data", str(self.data)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env=environment(),
            check=False,
        )
        assert done.returncode == exits, f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, *arguments: str, exits: int = 0) -> dict[str, Any]:
        """Run a command with ``--json``; its last line, read."""
        said: dict[str, Any] = json.loads(self.run(*arguments, "--json", exits=exits).splitlines()[-1])
        return said

    def importing(self, kind: str) -> subprocess.Popen[str]:
        """An import that reads its file from a pipe, as long as somebody writes to it."""
        return subprocess.Popen(
            [*COMMAND, kind, "import", "-", "--data", str(self.data), "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )

    def kill(self, name: str) -> None:
        """SIGKILL one of the stack's processes, and wait until another one is in its place and answers."""
        before = self._pid(name)
        assert before, f"{name} does not run"
        os.kill(before, signal.SIGKILL)
        until(lambda: self._pid(name) not in (None, before), 60, f"{name} is started again")
        until(lambda: self._answers(name), 180, f"{name} is ready again")

    def is_ready(self) -> bool:
        """Whether everything says that it is ready."""
        asked = [*COMMAND, "status", "--data", str(self.data)]
        return (
            subprocess.run(asked, capture_output=True, timeout=SECONDS, env=environment(), check=False).returncode == 0
        )

    def mails(self, to: str = "") -> list[dict[str, str]]:
        """What the inbox holds for an address, or for all."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port_base + Port.INBOX}/api/mails?to={to}") as answer:
            found: list[dict[str, str]] = json.load(answer)
        return found

    def mail_text(self, mail: Mapping[str, str]) -> str:
        """The text of a mail in the inbox."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port_base + Port.INBOX}/mail/{mail['id']}/raw") as answer:
            message = email.message_from_bytes(answer.read(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        part = message.get_body(("plain",))
        assert part is not None
        return str(part.get_content())

    def down(self) -> int:
        """Stop it by command, and answer what ``up`` ended with."""
        self.run("down")
        return self._up.wait(30)

    def abandon(self) -> None:
        """End it, whatever its state."""
        if self._up.poll() is None:
            self._up.terminate()
            try:
                self._up.wait(20)
            except subprocess.TimeoutExpired:
                self._up.kill()
                self._up.wait(20)
        self._log.close()

    def _answers(self, name: str) -> bool:
        try:
            if name == "kafka":
                socket.create_connection(("127.0.0.1", self.port_base + Port.KAFKA), timeout=5).close()
            else:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port_base + PORTS[name]}/healthz", timeout=5).close()
        except urllib.error.HTTPError as error:
            return name == "registry" and error.code == 404  # it has no such page, but is there to say so
        except OSError:
            return False
        return True

    def _pid(self, name: str) -> int | None:
        try:
            return int((self.data / "run" / f"{name}.pid").read_text("utf-8").split()[0])
        except (OSError, IndexError, ValueError):
            return None


class Browser:
    """As much of a browser as a partner needs: cookies, redirects, and a form's button."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def get(self, address: str) -> str:
        """The text of a page, its markup taken away; the source of a form stays."""
        return self._text(self._ask(address))

    def enter(self, link: str) -> str:
        """Open a personal link and press its button. Answers the page that follows."""
        door = self._ask(link)
        form = re.search(r"<form[^>]*method=\"post\"[^>]*>.*?</form>", door, re.DOTALL)
        assert form, door
        fields = dict(re.findall(r"<input[^>]*name=\"(\w+)\"[^>]*value=\"([^\"]*)\"", form[0]))
        return self._text(self._ask(link, urlencode(fields).encode()))

    def _ask(self, address: str, data: bytes | None = None) -> str:
        url = address if address.startswith("http") else self._origin + address
        request = urllib.request.Request(url, data, {"Origin": self._origin, "Accept-Language": "en"})
        with self._opener.open(request, timeout=30) as answer:
            return str(answer.read().decode("utf-8"))

    @staticmethod
    def _text(page: str) -> str:
        body = re.sub(r"<(style|script)\b.*?</\1>", " ", page, flags=re.DOTALL)
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())
