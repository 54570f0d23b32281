"""From a past to candidates: pure."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.recommend import interactions, ranking
from services.recommend.interactions import HISTORY_MAX, Interaction
from services.recommend.tests.shop import view

PRODUCTS = "abcdefgh"

past_of = st.lists(
    st.builds(
        Interaction,
        time_us=st.integers(0, 50),
        source=st.just("shop"),
        id=st.uuids().map(str),
        kind=st.sampled_from(["view", "cart", "uncart", "wishlist", "buy"]),
        product_id=st.sampled_from(PRODUCTS),
        sku=st.sampled_from(["", "s1", "s2"]),
    ),
    unique_by=lambda each: each.id,
    max_size=40,
)
lists_of = st.dictionaries(
    st.sampled_from(PRODUCTS),
    st.lists(st.tuples(st.sampled_from(PRODUCTS), st.floats(0.01, 1)), max_size=6).map(
        lambda pairs: ([p for p, _ in pairs], [s for _, s in pairs])
    ),
)
quick = settings(derandomize=True, deadline=None, max_examples=60)


def did(kind, product_id, time_us=0, sku=""):
    return Interaction(time_us, "shop", f"{kind}-{product_id}-{time_us}", kind, product_id, sku)


@given(past_of, st.randoms(use_true_random=False))
@quick
def test_the_interest_does_not_depend_on_the_order_of_the_past(past, rng):
    shuffled = rng.sample(past, len(past))

    assert ranking.interest(shuffled) == ranking.interest(past)


@given(past_of, lists_of)
@quick
def test_nothing_that_was_bought_is_a_candidate(past, lists):
    interest = ranking.interest(past)

    found = ranking.candidates(interest, lists)

    assert not {each.product_id for each in found} & {e.product_id for e in past if e.kind == "buy"}
    assert all(each.because in interest.seeds for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)


def test_the_newest_says_most():
    past = [did("view", "old", 1), did("view", "new", 2)]
    lists = {"old": (["x"], [0.5]), "new": (["y"], [0.5])}

    found = ranking.candidates(ranking.interest(past), lists)

    assert [(each.product_id, each.because) for each in found] == [("y", "new"), ("x", "old")]


def test_a_purchase_says_more_than_a_view():
    past = [did("buy", "bought", 1), did("view", "seen", 2)]
    lists = {"bought": (["x"], [0.5]), "seen": (["y"], [0.5])}

    assert [c.product_id for c in ranking.candidates(ranking.interest(past), lists)] == ["x", "y"]


def test_what_was_taken_out_of_the_cart_counts_as_seen():
    kept = ranking.interest([did("cart", "a", 1)])
    taken_out = ranking.interest([did("cart", "a", 1), did("uncart", "a", 2)])
    put_back = ranking.interest([did("cart", "a", 1), did("uncart", "a", 2), did("cart", "a", 3)])

    assert taken_out.seeds == ranking.interest([did("view", "a", 1)]).seeds
    assert put_back.seeds == kept.seeds


def test_what_two_products_speak_for_comes_first_and_names_the_stronger():
    past = [did("view", "a", 1), did("view", "b", 2)]
    lists = {"a": (["x", "y"], [0.6, 0.5]), "b": (["y"], [0.3])}

    first, second = ranking.candidates(ranking.interest(past), lists)

    assert (first.product_id, first.because) == ("y", "a")
    assert second.product_id == "x"


SHIRT = [
    {"sku": "red-m", "attributes": {"colour": "red", "size": "M"}},
    {"sku": "blue-l", "attributes": {"colour": "blue", "size": "L"}},
]


def test_the_nearest_variant_is_the_one_chosen_before_then_the_one_most_like_it():
    liked = ranking.likes(ranking.interest([did("buy", "shirt", 1, "blue-l")]), {"shirt": SHIRT})
    trousers = [
        {"sku": "t-m", "attributes": {"size": "M"}},
        {"sku": "t-l", "attributes": {"size": "L"}},
    ]

    assert ranking.nearest(["t-m", "t-l"], trousers, liked) == "t-l"
    assert ranking.nearest(["t-m"], trousers, liked) == "t-m"
    assert ranking.nearest(["t-m", "t-l"], trousers, liked, chosen="t-m") == "t-m"
    assert ranking.nearest(["t-m", "t-l"], trousers, ranking.NOTHING_LIKED) == "t-m"
    assert ranking.nearest([], trousers, liked) is None


views_of = st.lists(
    st.builds(
        view,
        st.just("ada"),
        st.text('a\n",é汉', min_size=1, max_size=4),
        st.floats(-(10**7), 10**7, allow_nan=False),
    ),
    max_size=10,
)


@given(views_of, views_of)
@quick
def test_a_history_reads_as_what_was_done_in_the_order_of_time(some, more):
    lines = [interactions.by_customer(events).get("ada", []) for events in (some, more)]

    read = interactions.read("\n".join(interactions.newest(*lines)))

    done = sorted(some + more, key=lambda event: event.time)
    assert [each.time_us for each in read] == [_us(event) for event in done]
    assert {(each.id, each.product_id) for each in read} == {
        (e.id, e.data.product_id) for e in done
    }


@given(st.lists(st.text("abc"), unique=True, max_size=2 * HISTORY_MAX), st.integers(0, HISTORY_MAX))
@quick
def test_the_newest_is_the_same_however_histories_are_put_together(lines, cut):
    parts = interactions.newest(lines[:cut]), interactions.newest(lines[cut:])

    assert interactions.newest(*parts) == interactions.newest(lines)


def _us(event):
    return round(event.time.timestamp() * 1_000_000)
