"""What partners read, word for word: each mail's text in each language stands beside this file.

Changed a text on purpose? ``./staffel messages samples --out tests/notification/samples --text-only`` writes them anew;
look at what has changed before you keep it.
"""

from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from deploy.runtime.errors import Exit
from deploy.runtime.settings import load
from services.notification.samples import COUNTRIES, SAMPLES, write
from tests.cli.calling import call
from tests.notification.facts import programme

KEPT = Path(__file__).parent / "samples"


@pytest.mark.parametrize("language", COUNTRIES)
def test_each_text_is_the_one_that_was_read_and_kept(language: str) -> None:
    for sample in SAMPLES:
        kept = (KEPT / f"{sample.name}.{language}.txt").read_text("utf-8")
        assert write(sample, language, programme()).text == kept


def test_no_text_is_kept_of_a_mail_that_is_not_written_any_more() -> None:
    wanted = {f"{sample.name}.{language}.txt" for sample in SAMPLES for language in COUNTRIES}
    assert {path.name for path in KEPT.iterdir()} == wanted


def test_command_writes_all_parts_and_the_same_ones_each_time(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        told = call(load({}, {}), "messages", "samples", "--out", str(folder))
        assert told.code == Exit.OK
        assert f"{len(SAMPLES)} mails in 7 languages are in {folder}" in told.out
    one, two = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert one == two
    assert len(one) == 3 * len(SAMPLES) * len(COUNTRIES) + 1
    index = one["index.html"].decode()
    for name, content in one.items():
        assert name in index or name == "index.html"
        if name.endswith(".eml"):
            mail = message_from_bytes(content, policy=default)
            assert isinstance(mail, EmailMessage)
            text = mail.get_body(("plain",))
            assert text is not None
            assert text.get_content().splitlines() == one[name.replace(".eml", ".txt")].decode().splitlines()


def test_command_says_where_it_can_not_write(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", "utf-8")
    told = call(load({}, {}), "messages", "samples", "--out", str(tmp_path / "file"))
    assert told.code == Exit.USAGE
    assert "can't write to" in told.err
    assert "--out" in told.err
