"""Each record that is not a plain event has its stated fate."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.errors import Reject
from shared.events.catalog import ProductWithdrawn
from shared.events.codec import (
    EVENT_BYTES_MAX,
    Unknown,
    decode,
    encode,
    from_structured,
    structured,
)
from shared.events.customers import CustomerIdentified
from shared.events.offers import OfferChanged
from shared.message import Message
from shared.tests.records import (
    CLOUD,
    TIME,
    TOPIC,
    TRACE,
    amended,
    bare,
    message,
    order,
    placed,
    read,
    structured_message,
    without,
)

TOMBSTONE_ID = "tombstone/shop.catalog.v1/3/41"


def test_our_own_clock_may_be_set_ahead() -> None:
    later = structured(placed(time=TIME + timedelta(days=30))) | {"source": "regulars/loyalty"}

    assert from_structured(later, received=TIME).time == TIME + timedelta(days=30)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"ce_id": None}, "^id: missing"),
        ({"ce_id": b""}, "^id: missing"),
        ({"ce_id": b"x" * 201}, "^id: .*at most 200"),
        ({"ce_id": b"a\0b"}, "^id: .*without NUL"),
        ({"ce_source": None}, "^source: missing"),
        ({"ce_type": None}, "^type: missing"),
        ({"ce_time": None}, "^time: missing"),
        ({"ce_time": b"yesterday"}, "^time: not an RFC 3339"),
        ({"ce_time": b"2026-01-31T08:00:00"}, "^time: has no offset"),
        ({"ce_time": b"0001-01-01T00:00:00+09:00"}, "^time: not an RFC 3339"),
        ({"ce_time": b"1969-12-31T23:59:59Z"}, "^time: before 1970"),
        ({"ce_time": b"2099-01-01T00:00:00Z"}, "^time: over an hour in the future"),
        ({"ce_specversion": None}, "^specversion"),
        ({"ce_specversion": b"0.3"}, "^specversion"),
        ({"ce_dataschema": b"urn:regulars:order.placed:2"}, "reads version 1 of order.placed"),
        ({"ce_dataschema": b"urn:regulars:order.paid:1"}, "^dataschema: names another type"),
        ({"ce_backfill": b"True"}, "^backfill: must be true or false"),
        ({"ce_type": b"product.viewed"}, "does not belong .* shop.browse.v1"),
        ({"ce_source": b"\xff"}, "not UTF-8"),
    ],
)
def test_a_bad_attribute_is_rejected_by_name(headers: dict[str, bytes | None], says: str) -> None:
    with pytest.raises(Reject, match=says):
        decode(message(placed(), **headers))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ce_specversion": b"1.1"}, {}),
        ({"ce_dataschema": b"urn:regulars:order.placed:1"}, {}),
        ({"ce_dataschema": b"https://shop.example/order.json"}, {}),
        ({"ce_backfill": b"false"}, {"backfill": False}),
        ({"ce_time": b"2026-01-31T16:00:00+08:00"}, {"time": TIME}),
        (
            {"ce_time": b"2026-01-31T08:00:00.123456789Z"},
            {"time": TIME.replace(microsecond=123456)},
        ),
        ({"ce_traceparent": TRACE.encode()}, {"traceparent": TRACE}),
        ({"traceparent": b"nonsense"}, {"traceparent": ""}),
        ({"ce_shopextension": b"x"}, {}),
    ],
)
def test_what_the_standard_allows_is_read(
    headers: dict[str, bytes | None], expected: dict[str, Any]
) -> None:
    event = read(message(placed(), **headers))

    assert {name: getattr(event, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"{not json", "^data: .*JSON"),
        (b"", "^data: .*JSON"),
        (b"[1, 2]", "^data: "),
        (b"null", "^data: "),
        (b"\xff\xfe", "^data: "),
        (without(encode(placed())[0], "revision"), "^data: revision: Field required"),
        (amended(placed(), total_minor=12.5), "^data: total_minor"),
        (amended(placed(), currency="euro"), "^data: currency"),
        (amended(placed(), placed_at="2026-01-31T08:00:00"), "^data: placed_at.*timezone"),
        (amended(placed(), cancel_reason="a\0b"), "NUL"),
        (b'{"a": "' + b"x" * EVENT_BYTES_MAX + b'"}', "over 1048576 bytes"),
    ],
)
def test_bad_data_is_rejected_by_field(value: bytes, says: str) -> None:
    with pytest.raises(Reject, match=says):
        decode(message(placed(), value=value))


def test_a_backslash_before_u0000_is_text_and_no_nul() -> None:
    event = placed(order(cancel_reason="\\u0000"))

    assert read(message(event)).data.cancel_reason == "\\u0000"


def test_a_rejection_never_quotes_what_was_sent() -> None:
    secret = "ada@example.com"
    value = amended(placed(), customer_id=secret, channel=[secret], store=f"{secret} {secret}")

    with pytest.raises(Reject) as caught:
        decode(message(placed(), value=value, key=secret.encode()))

    assert secret not in str(caught.value)
    assert "customer_id: looks like a phone number or e-mail" in str(caught.value)


def test_the_sender_own_attribute_names_are_not_quoted() -> None:
    data = {"customer_id": "ada", "attributes": {"ada@example.com": {"deep": 1}}}

    with pytest.raises(Reject, match=r"attributes\.\*") as caught:
        decode(
            Message(
                "shop.customers.v1",
                0,
                0,
                int(TIME.timestamp() * 1000),
                b"ada",
                json.dumps(data).encode(),
                message(placed(), ce_type=b"customer.updated").headers,
            )
        )

    assert "ada@example" not in str(caught.value)


def test_a_record_without_a_key_is_rejected() -> None:
    event = placed()
    record = message(event)

    with pytest.raises(Reject, match="no key; set it to the customer_id"):
        decode(Message(TOPIC, 3, 41, record.timestamp_ms, None, record.value, record.headers))


@pytest.mark.parametrize("key", [b"grace", b"", b"\xff"])
def test_a_key_that_the_data_contradicts_is_rejected(key: bytes) -> None:
    with pytest.raises(Reject, match=r"customer_id|not UTF-8"):
        decode(message(placed(), key=key))


def test_a_type_that_nobody_knows_yet_is_told_and_not_rejected() -> None:
    assert decode(message(placed(), ce_type=b"order.teleported")) == Unknown(
        "order.teleported", "shop"
    )


def test_a_null_value_withdraws_a_product_at_its_append_time() -> None:
    event = read(bare(b"mug", topic="shop.catalog.v1"))

    assert event.data == ProductWithdrawn(product_id="mug")
    assert (event.type, event.key, event.time) == ("product.withdrawn", "mug", TIME)
    assert (event.id, event.source) == (TOMBSTONE_ID, "kafka")


def test_a_null_value_withdraws_an_offer() -> None:
    event = read(bare("main:mug:白".encode(), topic="shop.offers.v1"))

    assert isinstance(event.data, OfferChanged)
    assert (event.data.store, event.data.sku) == ("main", "mug:白")
    assert (event.data.stock, event.data.withdrawn, event.key) == (0, True, "main:mug:白")


@pytest.mark.parametrize("key", [b"mug", b":mug", b"main:"])
def test_a_null_value_under_a_key_that_names_no_offer_is_rejected(key: bytes) -> None:
    with pytest.raises(Reject, match=r"^data: (store|sku)"):
        decode(bare(key, topic="shop.offers.v1"))


def test_a_null_value_on_a_customer_topic_is_rejected() -> None:
    with pytest.raises(Reject, match="no value"):
        decode(bare(b"ada"))


@pytest.mark.parametrize(
    ("content_type", "value", "says"),
    [
        ("application/cloudevents-batch+json", b"[]", "one event a record"),
        ("application/cloudevents+avro", b"x", "only application/cloudevents.json"),
        (CLOUD, b"{", "not JSON"),
        (CLOUD, b"[]", "not a JSON object"),
        (CLOUD, b"{}", "^id: missing"),
        ("Application/CloudEvents+JSON", b"{}", "^id: missing"),
    ],
)
def test_a_bad_structured_record_is_rejected(content_type: str, value: bytes, says: str) -> None:
    with pytest.raises(Reject, match=says):
        decode(message(placed(), value=value, content__type=content_type.encode()))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": 7}, "^id: must be text"),
        ({"time": 1700000000}, "^time: missing"),
        ({"backfill": "yes"}, "^backfill"),
        ({"data": None}, "^data: "),
        ({"data": "text"}, "^data: "),
    ],
)
def test_a_structured_attribute_of_another_json_type_is_rejected(
    changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(Reject, match=says):
        decode(structured_message(placed(), **changes))


def test_an_unknown_type_over_http_is_answered_with_the_nearest_name() -> None:
    document = structured(placed()) | {"type": "product.veiwed"}

    with pytest.raises(Reject, match=r"not known; did you mean product\.viewed\?"):
        from_structured(document)


def test_http_input_is_held_to_the_time_it_came() -> None:
    document = structured(placed(time=TIME + timedelta(hours=2)))

    with pytest.raises(Reject, match="future"):
        from_structured(document, received=TIME)

    assert from_structured(document).time == TIME + timedelta(hours=2)


def test_http_input_with_a_nul_is_refused_as_it_is_over_kafka() -> None:
    with pytest.raises(Reject, match="NUL"):
        from_structured(structured(placed(order(cancel_reason="a\0b"))))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cancelled": 2, "returned": 1}, "above its quantity"),
        ({"quantity": -1}, "greater than or equal to 0"),
        ({"unit_price_minor": 10**16}, "less than or equal"),
    ],
)
def test_an_order_that_would_corrupt_every_fold_is_rejected(
    change: dict[str, Any], says: str
) -> None:
    line = json.loads(encode(placed())[0])["lines"][0]

    with pytest.raises(Reject, match=says):
        decode(message(placed(), value=amended(placed(), lines=[line | change])))


def test_an_order_with_one_line_twice_is_rejected() -> None:
    line = json.loads(encode(placed())[0])["lines"][0]

    with pytest.raises(Reject, match="same line_id"):
        decode(message(placed(), value=amended(placed(), lines=[line, line])))


def test_an_order_has_at_most_ten_thousand_lines() -> None:
    line = order().lines[0]
    lines = tuple(line.model_copy(update={"line_id": str(n)}) for n in range(10_001))

    assert len(order(lines=lines[:10_000]).lines) == 10_000
    with pytest.raises(ValueError, match="at most 10000 items"):
        order(lines=[dict(line) for line in lines])


def test_a_customer_is_not_identified_as_himself() -> None:
    with pytest.raises(ValueError, match="are the same"):
        CustomerIdentified(customer_id="ada", anonymous_id="ada")
