"""Money and days as a reader of a language writes them. Pure."""

import re
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, get_currency_symbol

# ISO 4217's minor units, where they are not two. Unicode's figures (CLDR) are those of
# daily use, such as none for the Serbian dinar: right for a price tag, and a hundredfold
# error when minor units are divided by them.
_DIGITS = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
MINOR_DIGITS = {code: digits for digits, codes in _DIGITS.items() for code in codes.split()}


LAST_DIGIT = re.compile(r"0(\.0+)?(?![0#.,])")  # in a pattern such as `#,##0.00 ¤`


@lru_cache(maxsize=1_000)
def parse_locale(name: str) -> Locale | None:
    """The locale of a BCP 47 name such as `zh-CN`, or None for one that Unicode has no data on."""
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError, TypeError):
        return None


def amount(minor: int, currency: str, locale: Locale) -> str:
    """Such as `£1,234.50`, or `1.234,50 £` in German."""
    value = Decimal(minor).scaleb(-MINOR_DIGITS.get(currency, 2))
    form = _form(locale, currency)
    return format_currency(value, currency, form, locale=locale, currency_digits=False)


@lru_cache(maxsize=1_000)
def _form(locale: Locale, currency: str) -> str:
    """The locale's pattern for money, with the currency's own decimals."""
    digits = MINOR_DIGITS.get(currency, 2)
    usual: str = locale.currency_formats["standard"].pattern
    form = LAST_DIGIT.sub(f"0.{'0' * digits}" if digits else "0", usual)
    # CLDR's currencySpacing, which Babel leaves out: a letter does not touch a digit.
    letters = get_currency_symbol(currency, locale)[-1:].isalpha()
    return form.replace("¤#", "¤\xa0#") if letters else form


def day(instant: datetime, zone: ZoneInfo, locale: Locale) -> str:
    """The day in the store's zone, such as `1 November 2026`."""
    return format_date(instant.astimezone(zone), "long", locale=locale)
