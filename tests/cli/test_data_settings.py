"""Commands about topics and configuration, and the import of bank details, which needs no broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from deploy.runtime.errors import Exit
from deploy.runtime.settings import Loaded, load
from tests.cli.calling import call, succeed
from tests.intake import files

IBAN, OTHER_IBAN = "DE89370400440532013000", "AT611904300234573201"
BANK_HEADER = "partner_id,account_holder,iban"


@pytest.fixture
def alone(tmp_path: Path) -> Loaded:
    """Settings of a stack that does not run."""
    return load({"data": tmp_path / "data", "port_base": 31_990}, {})


def test_topics_are_created_once_and_shown_as_they_should_be(loaded: Loaded) -> None:
    assert succeed(loaded, "topics", "create") == {"created": []}, "the fixture has made them"
    rows = succeed(loaded, "topics", "show")["topics"]
    assert all(row["partitions"] == 2 and not row["differences"] for row in rows)
    told = call(loaded, "topics", "show", "--partitions", "3")
    assert told.code == Exit.DIFFERS
    assert "2 partitions instead of 3" in told.out


def test_bank_details_go_to_payouts_database_and_are_not_readable_there(alone: Loaded, tmp_path: Path) -> None:
    path = files.write(
        tmp_path / "b.csv",
        BANK_HEADER,
        f"P-1,Rechner & Sohn,{IBAN}",
        f"P-2,Foo,{IBAN[:-1]}1",
        f"P-1,Rechner & Sohn,{OTHER_IBAN}",
        f"P-1,Rechner & Sohn,{IBAN}",
        f"{IBAN[:4]} {IBAN[4:]},Swapped,P-3",
    )
    rehearsed = call(alone, "bank-details", "import", path, "--dry-run", "--json")
    found = call(alone, "bank-details", "import", path, "--rejects", str(tmp_path / "r.csv"), "--json")
    assert rehearsed.code == found.code == Exit.REFUSED
    assert rehearsed.object | {"dry_run": False, "rejects": str(tmp_path / "r.csv")} == found.object
    wanted: dict[str, Any] = {"new": 1, "changed": 0, "unchanged": 0, "repeated": 1, "refused": 3}
    assert {name: found.object[name] for name in wanted} == wanted
    assert found.object["reasons"] == {"bad-iban": 1, "bad-partner-id": 1, "conflicting-duplicate": 1}
    assert IBAN[4:-1] not in found.out + found.err, "no message repeats an account"
    with create_engine(alone.settings.payout_db_url).connect() as connection:
        stored = connection.execute(text("SELECT * FROM bank_details")).all()
    assert len(stored) == 1
    assert IBAN not in repr(stored)
    again = succeed(
        alone, "bank-details", "import", files.write(tmp_path / "b.csv", BANK_HEADER, f"P-1,R,{OTHER_IBAN}")
    )
    assert (again["new"], again["changed"]) == (0, 1)


def test_check_says_what_it_checked(alone: Loaded) -> None:
    assert set(succeed(alone, "check")["checked"]) == {
        "programme",
        "clock",
        "addresses",
        "databases",
        "mail",
        "account",
        "payout",
        "topics",
        "pages",
    }
    assert not alone.settings.data.exists(), "it changes nothing"


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--programme", "/nowhere.toml"], "/nowhere.toml"),
        (["--clock", "yesterday"], "not an instant"),
        (["--clock-rate", "0"], "clock_rate"),
        (["--kafka", "broker"], "host:9092"),
        (["--registry-url", "ftp://x"], "registry_url"),
        (["--mail-from", "nobody"], "mail_from"),
        (["--debtor-iban", "DE00"], "debtor_iban"),
        (["--bank-details-days", "-1"], "bank_details_days"),
        (["--no-single-node"], "single_node"),
        (["--partitions", "0"], "partitions"),
    ],
)
def test_check_refuses_what_can_not_be(alone: Loaded, flags: list[str], told: str) -> None:
    found = call(alone, "check", *flags)
    assert found.code == Exit.USAGE
    assert told in found.err


def test_check_names_what_is_wrong_with_a_programme(alone: Loaded, tmp_path: Path) -> None:
    programme = tmp_path / "p.toml"
    programme.write_text(Path(alone.settings.programme).read_text("utf-8").replace("units = 0,", "units = 1,"), "utf-8")
    found = call(alone, "check", "--programme", str(programme))
    assert found.code == Exit.USAGE
    assert "the first tier must begin at 0 units" in found.err


def test_config_tells_where_a_value_comes_from_and_hides_secrets(
    alone: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAFFEL_PARTITIONS", "8")
    monkeypatch.setenv("STAFFEL_LINK_SECRET", "canary-1")
    monkeypatch.setenv("STAFFEL_PAYOUT_DB_URL", "postgresql+psycopg://staffel:canary-2@db/payout")
    found = call(alone, "config", "show", "--app-id", "mine", "--json")
    assert found.code == Exit.OK
    assert "canary" not in found.out
    assert found.object["partitions"] == {"value": 8, "source": "STAFFEL_PARTITIONS"}
    assert found.object["app_id"] == {"value": "mine", "source": "flag"}
    assert found.object["log_level"] == {"value": "info", "source": "default"}
    assert found.object["kafka"] == {"value": "127.0.0.1:31993", "source": "derived"}
    assert found.object["payout_db_url"]["value"] == found.object["link_secret"]["value"] == "(hidden)"
    assert "canary" not in call(alone, "config", "show").out


def test_of_many_refused_rows_the_first_are_told_and_the_file_has_all(alone: Loaded, tmp_path: Path) -> None:
    path = files.write(tmp_path / "b.csv", BANK_HEADER, *(f"P-{n},Foo,DE00" for n in range(250)))
    found = call(alone, "bank-details", "import", path, "--rejects", str(tmp_path / "r.csv"))
    assert found.code == Exit.REFUSED
    assert found.out.splitlines()[0] == "250 rows: 250 refused (bad-iban 250)"
    assert len(found.err.splitlines()) == 201
    assert found.err.splitlines()[-1] == "… and 50 more refused rows"
    assert len((tmp_path / "r.csv").read_text("utf-8-sig").splitlines()) == 251
