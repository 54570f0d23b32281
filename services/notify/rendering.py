"""From a notice's content to the text of a message.

A template is a folder with a text and an HTML file for each language; the text's first
line is the subject. Its version is a hash of its files, stored with every notice, so a
text that was sent can be found again in the repository's history.

What customers and shops wrote is data and stays data: values are put in after the template
was compiled, so `{{ ... }}` in a name is printed as it stands; HTML is escaped; and a value
can begin no new line, so no name adds a header to a mail or a paragraph to its text.
Templates run in Jinja's immutable sandbox over plain strings, for later ones are not ours.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from pathlib import Path
from typing import Any, Self

from babel import Locale
from jinja2 import FileSystemLoader, StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from services.notify import money
from services.notify.policy import RULES, Kind
from shared.stores import Store

FOLDER = Path(__file__).parent / "templates"
LAYOUT = "layout.html"
FALLBACK = "en"

TEXT_LENGTH_MAX = 200_000
NAME_LENGTH_MAX = 60
# Line breaks of every kind, other control characters, and what reorders text unseen.
BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+")
GAPS = re.compile(r"\n{3,}")  # where a template had nothing to say
LINK = re.compile(r"://|www\.", re.IGNORECASE)


class Unrenderable(Exception):
    """This content and this template give no message that could be sent."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which text: `language` names its file, `locale` is how amounts and days are written."""

    template: Kind
    version: str
    language: str
    locale: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message's text in both forms."""

    subject: str
    text: str
    html: str


class Templates:
    """The templates of this release, compiled as they are first used."""

    def __init__(self, folder: Path, languages: Mapping[Kind, tuple[str, ...]]) -> None:
        self._languages = languages
        self._versions = {kind: _version(folder, kind) for kind in languages}
        self._jinja = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            autoescape=lambda name: bool(name and name.endswith(".html")),
            finalize=_flat,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    @classmethod
    def load(cls, folder: Path = FOLDER) -> Self:
        found = {
            kind: tuple(sorted(path.stem for path in (folder / kind).glob("*.txt")))
            for kind in RULES
        }
        assert all(FALLBACK in languages for languages in found.values()), "each speaks English"
        return cls(folder, found)

    def choose(self, kind: Kind, wanted: Iterable[str | None]) -> Choice:
        """The first wanted language that there is: exactly, or as spoken in another region."""
        for name in filter(None, (*wanted, FALLBACK)):
            if money.parse_locale(name) is None:
                continue
            locale = name.replace("_", "-")
            spoken = [text for text in self._languages[kind] if _tongue(text) == _tongue(locale)]
            if spoken:
                language = locale if locale in spoken else spoken[0]
                return Choice(kind, self._versions[kind], language, locale)
        raise AssertionError("the fallback is always there")

    def render(
        self, choice: Choice, content: Mapping[str, Any], name: str | None, store: Store
    ) -> Rendered:
        """Raises Unrenderable."""
        locale = money.parse_locale(choice.locale)
        assert locale is not None, "it was chosen because it could be parsed"
        try:
            values = _values(content, name, store, locale) | {"language": choice.language}
            text = self._fill(f"{choice.template}/{choice.language}.txt", values)
            html = self._fill(f"{choice.template}/{choice.language}.html", values)
        except (TemplateError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise Unrenderable(type(error).__name__) from error
        subject, _, body = text.partition("\n")
        return Rendered(subject.strip(), GAPS.sub("\n\n", body.strip()) + "\n", html)

    def _fill(self, name: str, values: Mapping[str, Any]) -> str:
        text = self._jinja.get_template(name).render(values)
        if len(text) > TEXT_LENGTH_MAX:
            raise Unrenderable("the message is too long")
        return text


def _version(folder: Path, kind: Kind) -> str:
    sources = (folder / LAYOUT, *sorted((folder / kind).iterdir()))
    digest = hashlib.sha256()
    for path in sources:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _tongue(locale: str) -> str:
    return locale.partition("-")[0].lower()


def _flat(value: Any) -> Any:
    """What a template prints: of a text, one line. Markup is a template's own, already done."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return BREAKS.sub(" ", value)
    return value


def _values(
    content: Mapping[str, Any], name: str | None, store: Store, locale: Locale
) -> dict[str, Any]:
    """Plain strings, numbers, lists and dicts: nothing with methods worth calling."""
    currency = content["currency"]
    shop, address = parseaddr(store.sender)
    placed_at = content["placed_at"]
    return {
        "name": _greetable(name),
        "shop": shop or address,
        "order_id": content["order_id"],
        "placed_on": money.day(datetime.fromisoformat(placed_at), store.tz, locale)
        if placed_at
        else "",
        "total": money.amount(content["total_minor"], currency, locale),
        "lines": [
            {
                "kind": line["kind"],
                "name": line["name"],
                "quantity": line["quantity"],
                "total": money.amount(line["total_minor"], currency, locale),
            }
            for line in content["lines"]
        ],
        "more_lines": content["more_lines"],
        "shipment": _shipment(content["shipment"] or {}),
    }


def _shipment(shipment: Mapping[str, str]) -> dict[str, str]:
    url = shipment.get("tracking_url", "")
    return {
        "carrier": shipment.get("carrier", ""),
        "number": shipment.get("tracking_number", ""),
        "url": url if url.lower().startswith(("https://", "http://")) else "",
    }


def _greetable(name: str | None) -> str:
    """A name to greet by, or nothing: a "name" with a link in it advertises through our mails."""
    flat = " ".join(BREAKS.sub(" ", name or "").split())
    return "" if len(flat) > NAME_LENGTH_MAX or LINK.search(flat) else flat
