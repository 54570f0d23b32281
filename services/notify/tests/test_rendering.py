"""What a person reads, and what can not get into it."""

import email
import email.policy
import shutil
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify import money
from services.notify.channels.email import message
from services.notify.channels.email.message import BadAddress, BadHeader, build
from services.notify.rendering import FOLDER, Rendered, Templates, Unrenderable
from shared.stores import Store

STORE = Store(
    id="uk", zone="Asia/Shanghai", locale="en-GB", sender="Fox & Fern <hello@foxandfern.example>"
)
CONTENT = {
    "order_id": "A-17",
    "placed_at": "2026-10-31T18:00:00+00:00",
    "currency": "GBP",
    "total_minor": 123450,
    "lines": [
        {"kind": "product", "name": "Tea <green> & more", "quantity": 2, "total_minor": 123150},
        {"kind": "shipping", "name": "", "quantity": 1, "total_minor": 300},
    ],
    "more_lines": 3,
    "shipment": {
        "carrier": "Royal Mail",
        "tracking_number": "RM1",
        "tracking_url": "https://track.example/RM1",
    },
}
TEMPLATES = Templates.load()
KINDS = ("order_confirmation", "order_shipped")
NOTICE = UUID(int=7)
DATE = datetime(2026, 11, 1, 12, tzinfo=UTC)


def render(kind="order_confirmation", wanted=("en-GB",), name="Ada", **content):
    choice = TEMPLATES.choose(kind, wanted)
    return TEMPLATES.render(choice, CONTENT | content, name, STORE)


def mail(rendered, address="ada@a.example", sender=STORE.sender):
    made = build(NOTICE, rendered, sender=sender, address=address, date=DATE)
    return made, email.message_from_bytes(made.content, policy=email.policy.default)


def test_a_confirmation_in_english():
    rendered = render()

    assert rendered.subject == "Your order A-17 at Fox & Fern"
    assert "Hello Ada,\n" in rendered.text
    assert "order A-17 of 1 November 2026" in rendered.text  # the store's day
    assert (
        "- 2 x Tea <green> & more: £1,231.50\n- 1 x Shipping: £3.00\n- and 3 more" in rendered.text
    )
    assert "Total: £1,234.50" in rendered.text
    assert "Tea &lt;green&gt; &amp; more" in rendered.html
    assert '<html lang="en">' in rendered.html


def test_the_same_in_chinese_and_german():
    chinese, german = render(wanted=("zh-CN",), currency="CNY"), render(wanted=("de-AT",))

    assert chinese.subject == "您在Fox & Fern的订单 A-17"
    assert "Ada，您好：" in chinese.text
    assert "2026年11月1日" in chinese.text
    assert "合计：¥1,234.50" in chinese.text
    assert "Gesamtbetrag: £ 1.234,50" in german.text.replace("\xa0", " ")


@pytest.mark.parametrize(
    ("wanted", "language", "locale"),
    [
        (("zh-CN", "en"), "zh-CN", "zh-CN"),
        (("zh_TW",), "zh-CN", "zh-TW"),
        (("de",), "de", "de"),
        (("fr-FR", None, "en-GB"), "en", "en-GB"),
        (("tlh", "not a locale", ""), "en", "en"),
        ((None, None), "en", "en"),
    ],
)
def test_the_language_falls_back(wanted, language, locale):
    choice = TEMPLATES.choose("order_shipped", wanted)

    assert (choice.language, choice.locale) == (language, locale)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "de", "zh-CN"])
def test_every_template_renders_with_everything_and_with_nothing(kind, language):
    full = render(kind, (language,))
    bare = render(
        kind, (language,), name=None, lines=[], more_lines=0, shipment=None, placed_at=None
    )

    assert "A-17" in full.subject
    assert "A-17" in bare.text
    for rendered in (full, bare):
        assert "None" not in rendered.text + rendered.html
        assert "\n\n\n\n" not in rendered.text


def test_a_template_in_a_name_is_printed_and_not_run():
    lines = [{"kind": "product", "name": "{% for x in y %}", "quantity": 1, "total_minor": 1}]
    rendered = render(name="{{ 7 * 7 }}{{ shop.__class__ }}", lines=lines)

    assert "Hello {{ 7 * 7 }}{{ shop.__class__ }},\n" in rendered.text
    assert "{{ 7 * 7 }}" in rendered.html
    assert "{% for x in y %}" in rendered.text
    assert "49" not in rendered.text


def test_html_in_a_name_is_escaped():
    rendered = render(name="<script>x</script>")

    assert "<script>" not in rendered.html
    assert "&lt;script&gt;" in rendered.html


def test_a_line_break_in_a_value_begins_no_line_and_no_header():
    sneaky = "Ada\r\nBcc: all@evil.example\u2028x\x85y"
    rendered = render(name=sneaky, order_id=f"A{sneaky}")
    made, parsed = mail(rendered)

    assert "\nBcc" not in rendered.text
    assert "Bcc" in rendered.subject  # as words
    assert parsed["Bcc"] is None
    assert made.recipient == "ada@a.example"


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r"])
def test_a_header_with_a_line_break_is_refused(break_):
    bad = f"Hi{break_}Bcc: all@evil.example"

    with pytest.raises(BadHeader):
        mail(Rendered(bad, "text", "html"))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@a.example",
        "ada@",
        "a,b@a.example",
        "a b@a.example",
        "a@b>SIZE=1",
        "<a@b>@c.d",
        "a@b.c\nRCPT TO:<x@y>",
        '"a b"@c.d',
        "(c)a@b.c",
        "用户@a.example",
        "a@..",
        "a@" + "b" * 300,
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(BadAddress):
        message.mailbox(address)


def test_a_chinese_domain_is_written_in_ascii():
    assert message.mailbox("ada@例子.中国") == "ada@xn--fsqu00a.xn--fiqs8s"


def test_the_mail_names_its_notice_and_keeps_its_text():
    rendered = render(wanted=("zh-CN",))
    _, parsed = mail(rendered, sender="狐与蕨 <hello@huyujue.example>")

    assert parsed["Message-ID"] == f"<{NOTICE}@huyujue.example>"
    assert parsed["From"].addresses[0].display_name == "狐与蕨"
    assert parsed["Subject"] == rendered.subject
    assert parsed.get_body(("plain",)).get_content().replace("\r\n", "\n") == rendered.text
    assert parsed.get_body(("html",)).get_content().split() == rendered.html.split()


@pytest.mark.parametrize("name", ["Win! https://evil.example", "www.evil.example", "x" * 61])
def test_a_name_that_advertises_is_not_greeted(name):
    rendered = render(name=name)

    assert "Hello,\n" in rendered.text
    assert name not in rendered.html


def test_a_tracking_link_is_a_web_link_or_none():
    sneaky = CONTENT["shipment"] | {"tracking_url": "javascript:alert(1)"}

    assert "https://track.example/RM1" in render("order_shipped").html
    assert "javascript" not in render("order_shipped", shipment=sneaky).html


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "written"),
    [
        (123450, "GBP", "en-GB", "£1,234.50"),
        (1200, "JPY", "ja", "￥1,200"),
        (1500, "RSD", "en", "RSD 15.00"),  # two digits by ISO 4217, none by Unicode's
        (12345, "KWD", "en", "KWD 12.345"),
        (-500, "EUR", "de", "-5,00 €"),
        (0, "XXX", "en", "¤0.00"),
    ],
)
def test_money_is_written_in_its_own_minor_units(minor, currency, locale, written):
    found = money.amount(minor, currency, money.parse_locale(locale))

    assert found.replace("\xa0", " ") == written


def test_content_without_what_a_template_needs_is_unrenderable():
    choice = TEMPLATES.choose("order_confirmation", ["en"])

    with pytest.raises(Unrenderable):
        TEMPLATES.render(choice, {"order_id": "A"}, None, STORE)


def test_a_templates_version_is_its_text(tmp_path):
    copy = tmp_path / "templates"
    shutil.copytree(FOLDER, copy)
    before = Templates.load(copy).choose("order_shipped", ["en"]).version
    (copy / "layout.html").write_text((copy / "layout.html").read_text() + "\n")

    assert before == TEMPLATES.choose("order_shipped", ["en"]).version
    assert Templates.load(copy).choose("order_shipped", ["en"]).version != before


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.text(max_size=80), st.text(max_size=80), st.sampled_from(KINDS))
def test_no_text_makes_a_mail_that_cannot_be_built_or_says_more(name, product, kind):
    lines = [{"kind": "product", "name": product, "quantity": 1, "total_minor": 100}]
    rendered = render(kind, ("en",), name=name, lines=lines)
    _, parsed = mail(rendered)

    wanted = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"}
    assert set(parsed.keys()) - wanted == {"MIME-Version", "Content-Type"}
    assert rendered.text.count("\n") == render(kind, ("en",), name="A", lines=lines).text.count(
        "\n"
    )
