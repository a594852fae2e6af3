"""``messages samples``: every mail in every language, as files to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli.options import takes_settings
from deploy.cli.output import ending
from deploy.runtime.errors import UsageError
from deploy.runtime.settings import Loaded

if TYPE_CHECKING:
    from services.notification.samples import Sample
    from streams.rules.terms import Programme

app = typer.Typer(rich_markup_mode=None)


@app.command(
    "samples",
    epilog=ending("./staffel messages samples --out samples", "./staffel messages samples --out texts --text-only"),
)
@takes_settings("mail_from")
def samples(
    loaded: Loaded,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to; made if it is not there.")],
    text_only: Annotated[bool, typer.Option("--text-only", help="Write the text parts alone.")] = False,
) -> None:
    """Write a sample of each mail in each language: html, txt, eml, and index.html that shows all.

    Partner, numbers, times and links are made up and always the same, so that two versions can be compared.
    """
    from deploy.runtime.programme import read_programme
    from deploy.runtime.settings import load
    from services.notification.samples import COUNTRIES, SAMPLES
    from streams.rules.terms import parse

    programme = read_programme(load({}, {}).settings, parse)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for sample in SAMPLES:
            for language in COUNTRIES:
                _write(out, sample, language, programme, None if text_only else loaded.settings.mail_from)
        if not text_only:
            _write_index(out)
    except OSError as error:
        raise UsageError(f"can't write to {out}: {error.strerror}", "name another folder with --out") from None
    print(f"{len(SAMPLES)} mails in {len(COUNTRIES)} languages are in {out}")
    if not text_only:
        print(f"look at them: {(out / 'index.html').resolve().as_uri()}")


def _write(out: Path, sample: Sample, language: str, programme: Programme, mail_from: str | None) -> None:
    from schemas.events import event_id
    from services.notification.envelope import Envelope, parse_sender
    from services.notification.messages import as_of
    from services.notification.samples import write

    message = write(sample, language, programme)
    name = f"{sample.name}.{language}"
    (out / f"{name}.txt").write_text(message.text, "utf-8")
    if mail_from is None:
        return
    (out / f"{name}.html").write_text(message.html, "utf-8")
    mail = Envelope(parse_sender(mail_from)).seal(
        message, message_id=event_id("sample", sample.name), recipient="partner@partner.example", at=as_of(sample.event)
    )
    (out / f"{name}.eml").write_bytes(mail)


def _write_index(out: Path) -> None:
    from services.notification.samples import COUNTRIES, SAMPLES

    sections = "".join(
        f'<section><h2 id="{sample.name}">{sample.name}</h2><div class="row">'
        + "".join(_CELL.format(name=f"{sample.name}.{language}", language=language) for language in COUNTRIES)
        + "</div></section>\n"
        for sample in SAMPLES
    )
    (out / "index.html").write_text(_INDEX.format(sections=sections), "utf-8")


_CELL = """<figure><figcaption>{language}: <a href="{name}.html">html</a> <a href="{name}.txt">txt</a> \
<a href="{name}.eml">eml</a></figcaption><iframe src="{name}.html" title="{name}" loading="lazy"></iframe></figure>
"""
_INDEX = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mails of the programme</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
body {{ margin: 24px; }}
.row {{ display: flex; gap: 16px; overflow-x: auto; }}
figure {{ margin: 0; }}
iframe {{ width: 375px; height: 1000px; border: 1px solid #8888; border-radius: 8px; }}
</style>
</head>
<body>
<h1>Mails of the programme</h1>
{sections}</body>
</html>
"""
