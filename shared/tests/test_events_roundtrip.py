"""What was written is what is read, in both modes; a consequence is told from its cause."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.events.codec import decode, encode, follow, make
from shared.events.customers import CustomerUpdated
from shared.events.envelope import Event, derived_id
from shared.events.feedback import SurveyAnswered
from shared.events.orders import ORDER_TYPES, Line, OrderSnapshot, Tender
from shared.tests.records import TIME, TOPIC, TRACE, message, placed, read, structured_message


def test_what_was_written_is_what_is_read_and_where() -> None:
    event = placed(backfill=True, traceparent=TRACE)

    found = read(message(event))

    assert (found.partition, found.offset) == (3, 41)
    assert found.data == event.data
    assert (found.id, found.source, found.type, found.time) == ("e-1", "shop", "order.placed", TIME)
    assert (found.topic, found.key) == (TOPIC, "ada")
    assert (found.backfill, found.traceparent) == (True, TRACE)


def test_structured_mode_reads_the_same_as_binary() -> None:
    event = placed(backfill=True, traceparent=TRACE)

    assert decode(structured_message(event)) == decode(message(event))


def test_only_fields_that_were_set_are_written_so_absent_and_null_stay_two_things() -> None:
    data = CustomerUpdated(customer_id="ada", phone=None)
    event = make("customer.updated", data, id="e", source="shop", time=TIME)

    found = read(message(event))

    assert encode(event)[0] == b'{"customer_id":"ada","phone":null}'
    assert found.data.model_fields_set == {"customer_id", "phone"}


def test_a_consequence_has_the_same_id_however_often_its_cause_arrives() -> None:
    cause = placed(backfill=True, traceparent=TRACE)
    data = SurveyAnswered(customer_id="ada", survey_id="s", kind="nps")
    topic = "crm.notices.v1"

    first = follow(cause, "survey", "survey.answered", data, source="notify", topic=topic)
    again = follow(cause, "survey", "survey.answered", data, source="notify", topic=topic)

    assert first == again
    assert first.id == derived_id(cause, "survey")
    assert (first.time, first.backfill, first.traceparent) == (TIME, True, TRACE)
    assert (first.topic, first.key) == (topic, "ada")
    assert isinstance(decode(message(first)), Event)  # one type may live on two topics


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
names = texts.filter(bool)
customers = st.from_regex(r"(anon:|guest:|c-)[a-z0-9]{1,12}", fullmatch=True)
amounts = st.integers(0, 10**15)
times = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@st.composite
def lines(draw: st.DrawFn) -> Line:
    quantity = draw(st.integers(0, 1_000_000))
    cancelled = draw(st.integers(0, quantity))
    counts = st.integers(0, 1_000_000)
    return Line(
        line_id=draw(names),
        kind=draw(st.sampled_from(["product", "shipping", "fee", "gift_card", "gift"])),
        product_id=draw(st.none() | names),
        name=draw(texts),
        quantity=quantity,
        unit_price_minor=draw(st.integers(-(10**15), 10**15)),
        total_minor=draw(st.integers(-(10**15), 10**15)),
        shipped=draw(counts),
        cancelled=cancelled,
        returned=draw(st.integers(0, quantity - cancelled)),
        refunded_minor=draw(amounts),
    )


orders = st.builds(
    OrderSnapshot,
    customer_id=customers,
    order_id=names,
    revision=st.integers(1, 10**15),
    store=st.from_regex(r"[a-z0-9_-]{1,20}", fullmatch=True),
    currency=st.sampled_from(["EUR", "CNY", "JPY"]),
    rate=st.none() | st.floats(1e-6, 1e6),
    total_minor=amounts,
    lines=st.lists(lines(), max_size=4, unique_by=lambda line: line.line_id).map(tuple),
    tenders=st.lists(
        st.builds(Tender, kind=st.sampled_from(["money", "points"]), amount_minor=amounts),
        max_size=3,
    ).map(tuple),
    cancel_reason=texts,
    placed_at=st.none() | times,
)


@given(
    data=orders,
    kind=st.sampled_from(ORDER_TYPES),
    id_=names,
    source=names,
    time=times,
    backfill=st.booleans(),
)
def test_every_order_survives_the_wire_in_both_modes(
    data: OrderSnapshot, kind: str, id_: str, source: str, time: datetime, *, backfill: bool
) -> None:
    event = make(kind, data, id=id_, source=source, time=time, backfill=backfill)

    binary = read(message(event))
    by_document = read(structured_message(event))

    assert binary == by_document
    assert (binary.data, binary.time, binary.backfill) == (data, time, backfill)
    assert (binary.id, binary.source, binary.type, binary.key) == (
        id_,
        source,
        kind,
        data.customer_id,
    )
