"""What claims are called on pages: states, and why something was refused, asked or not taken. Codes in, words out."""

from __future__ import annotations

from services.kit import claims
from services.portal.claims.proofs import FILE_BYTES_MAX, FILES_MAX
from services.portal.claims.reading import FILE_ROWS_MAX, NOTE_LENGTH_MAX, SERIALS_MAX
from services.portal.claims.tables import Status
from services.portal.voice import Voice


def status_name(status: str, voice: Voice) -> str:
    """Where a claim is, in a word or two."""
    match status:
        case Status.SENT:
            return voice.say("Being checked")
        case Status.ASKED:
            return voice.say("A question to you")
        case Status.ACCEPTED:
            return voice.say("Accepted")
        case Status.REFUSED:
            return voice.say("Refused")
    return voice.say("Withdrawn")


def desk_name(status: str, voice: Voice) -> str:
    """The same as staff calls it."""
    match status:
        case Status.SENT:
            return voice.say("To be decided")
        case Status.ASKED:
            return voice.say("Partner was asked")
    return status_name(status, voice)


def refusal(code: str, voice: Voice) -> str:
    """Why a claim was refused."""
    return claims.refusal(code, voice) or voice.say("Another reason, given below.")


def question(code: str, voice: Voice) -> str:
    """What the vendor asks about a claim."""
    return claims.question(code, voice) or voice.say("Please answer the question below.")


def reason(what: str, code: str, voice: Voice) -> str:
    """The reason beside a step of a claim."""
    return question(code, voice) if what == Status.ASKED else refusal(code, voice)


def wrong(code: str, voice: Voice) -> str:
    """What is wrong with a field of the form, or with a cell of the file."""
    return _of_sale(code, voice) or _of_cell(code, voice)


def _of_sale(code: str, voice: Voice) -> str:
    match code:
        case "sold-in-future":
            return voice.say("The day of the sale lies ahead.")
        case "before-programme":
            return voice.say("On that day the programme had not begun.")
        case "older-than-horizon":
            return voice.say("The quarter of this day can't be changed any more.")
        case "product-not-in-programme":
            return voice.say("The product was not on the programme's list on that day.")
        case "bad-event":
            return voice.say("Only sales can be reported here. Leave the column event empty, or write sale.")
        case "other-partner":
            return voice.say("The row names another partner.")
        case "id-differs":
            return voice.say("The columns id and sale_id must say the same.")
        case "twice":
            return voice.say("The same number stands in a row above.")
    return ""


def _of_cell(code: str, voice: Voice) -> str:
    match code:
        case "missing":
            return voice.say("This is missing.")
        case "too-long":
            return voice.say("This is too long. A note may have {number} characters.", number=NOTE_LENGTH_MAX)
        case "unprintable":
            return voice.say("There is a character in it that can't be printed.")
        case "mangled-number":
            return voice.say("A spreadsheet has shortened this number. Write all of its digits.")
        case "bad-quantity":
            return voice.say("This must be a whole number from 1 on.")
        case "bad-date":
            return voice.say("This must be a date, like 2026-10-31.")
        case "repeated-serial":
            return voice.say("A serial number is named twice.")
        case "too-many-serials":
            return voice.say("There are more serial numbers than units, or more than {number}.", number=SERIALS_MAX)
        case "not-utf8":
            return voice.say("The row is not UTF-8. Save the file as “CSV UTF-8”.")
    return voice.say("The row can't be read. Check its quotes and separators.")


def file_wrong(code: str, voice: Voice) -> str:
    """Why an uploaded proof is not taken."""
    match code:
        case "too-large":
            return voice.say("A file may have {number} MB at most.", number=FILE_BYTES_MAX // 1024**2)
        case "too-many":
            return voice.say("You may send {number} files at most.", number=FILES_MAX)
        case "empty":
            return voice.say("The file is empty.")
        case "no-kind":
            return voice.say("The file is neither a PDF nor a JPEG or PNG picture.")
        case "encrypted":
            return voice.say("The PDF is protected with a password.")
        case "too-many-pages":
            return voice.say("The PDF has too many pages.")
        case "too-many-pixels":
            return voice.say("The picture is too large.")
        case "active" | "two-kinds":
            return voice.say("The file holds more than a document or a picture. Print it to a new PDF and send that.")
        case "scanned":
            return voice.say("The file did not pass our check for harmful content.")
        case "not-scanned":
            return voice.say("The file can't be checked at the moment. Please try again later.")
    return voice.say("The file can't be opened.")


def sheet_wrong(code: str, voice: Voice) -> str:
    """Why a file of many sales is not taken at all."""
    match code:
        case "none":
            return voice.say("Choose a file.")
        case "empty":
            return voice.say("There is no sale in the file.")
        case "too-many-rows":
            return voice.say("A file may hold {number} sales at most.", number=FILE_ROWS_MAX)
        case "too-much":
            return voice.say("You have sent very much today. Please go on tomorrow.")
    return voice.say(
        "The first line must name the columns: {columns}.", columns="sale_id, product_id, quantity, sold_on"
    )
