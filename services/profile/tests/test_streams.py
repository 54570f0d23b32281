"""Through the real door: any cutting of a stream, between topics too, gives the same rows."""

from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from services.profile.tests import shop
from services.profile.tests.shop import NOON, at

TABLES = ("profile", "order_state", "timeline", "consent", "identity", "identity_link")
VISITOR = st.sampled_from(["anon:1", "anon:2"])
CUSTOMER = st.sampled_from(["ada", "bob"])
MINUTE = st.integers(0, 300)

REVISION, GONE, NAME = st.integers(1, 5), st.integers(0, 2), st.sampled_from(["A", "B"])

ACTS = st.one_of(
    st.tuples(st.just("order"), CUSTOMER, MINUTE, REVISION, GONE),
    st.tuples(st.just("view"), VISITOR, MINUTE),
    st.tuples(st.just("identify"), CUSTOMER, MINUTE, VISITOR),
    st.tuples(st.just("tell"), CUSTOMER, MINUTE, NAME),
    st.tuples(st.just("consent"), CUSTOMER, MINUTE, st.booleans()),
)


def told(acts, mark):
    """The acts as events of customers of this run's own; `mark` has one character."""
    return [_event(act, mark, n) for n, act in enumerate(acts)]


def _event(act, mark, n):
    def named(id_):
        return f"{id_}{mark}"

    match act:
        case ("order", customer, minutes, revision, gone):
            placed = NOON if revision % 2 else at(revision)
            event = shop.order(
                named(customer), named("o1"), minutes=minutes, revision=revision * 100 + n,
                line={"cancelled": gone}, placed_at=placed,
            )  # fmt: skip
        case ("view", visitor, minutes):
            event = shop.viewed(named(visitor), minutes)
        case ("identify", customer, minutes, visitor):
            event = shop.identified(named(visitor), named(customer), minutes)
        case ("tell", customer, minutes, name):
            event = shop.updated(named(customer), minutes, name=name)
        case (_, customer, minutes, yes):
            event = shop.consented(named(customer), minutes, granted=yes)
    return shop.replace_id(event, f"{n}{mark}")


async def rows(door, mark):
    """All rows of a run, without its mark and without versions, which are decisions."""
    found = {}
    for table in TABLES:
        every = [dict(row._mapping) for row in await door.query(f"SELECT * FROM {table}")]
        own = [row for row in every if mark in repr(row)]
        for row in own:
            row.pop("version", None)
        found[table] = sorted(repr(row).replace(mark, "") for row in own)
    people = await door.query("SELECT customer_id, canonical_id, members FROM alias")
    together = [repr(row) for row in people if len(row.members) > 1]  # alone is as if no row
    found["alias"] = sorted(row.replace(mark, "") for row in together if mark in row)
    return found


MARKS = iter(chr(0x4E00 + n) for n in range(10_000))


@given(acts=st.lists(ACTS, min_size=1, max_size=25), data=st.data())
@examples(
    derandomize=True,
    deadline=None,
    max_examples=12,
    phases=[Phase.explicit, Phase.generate],  # to shrink takes minutes: do it by hand
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_any_cutting_gives_the_same_rows(door, acts, data):
    one, other = next(MARKS), next(MARKS)
    cut = data.draw(st.integers(1, 9))
    shuffled = data.draw(st.permutations(told(acts, other)))

    await door.give(*told(acts, one))
    for start in range(0, len(shuffled), cut):
        await door.give(*shuffled[start : start + cut])

    assert await rows(door, one) == await rows(door, other)
