"""What customers do beside ordering, as earning rules see it. Pure.

Each is done once for each thing it is about: a review by its id, a quiz by its own, a
registration ever, a check-in once a day. So a changed review, or an event that is sent
again under another id, earns nothing more. A streak of check-ins is days in a row of the
store's zone, at one place or programme.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from services.loyalty.books import points
from services.loyalty.earning.awarding import Action
from services.loyalty.earning.rules import ActionKind
from services.loyalty.terms.cart import Cart
from shared.events.customers import CustomerRegistered
from shared.events.engagement import ActivityCompleted, UgcPublished
from shared.events.envelope import Event
from shared.events.feedback import ReviewSubmitted, SurveyAnswered
from shared.stores import Stores

SOURCE = "action"
"""The source of journals whose document is an action."""

Key = tuple[str, str, str]
"""Customer id, kind, and the thing."""


@dataclass(frozen=True, slots=True)
class Done:
    """Something that a customer did. `thing` is what it can be done to once."""

    customer_id: str
    kind: ActionKind
    thing: str
    store: str
    at: datetime
    cause: Event
    channel: str = ""
    attributes: Mapping[str, Any] | None = None

    @property
    def key(self) -> Key:
        return self.customer_id, self.kind, self.thing


@dataclass(frozen=True, slots=True)
class Streak:
    """Days in a row, up to the last."""

    customer_id: str
    activity_id: str
    last_day: date
    days: int

    def and_then(self, day: date) -> "Streak":
        """A day that is left out begins anew."""
        days = self.days + 1 if day - self.last_day == timedelta(1) else 1
        return replace(self, last_day=day, days=days)


def of(events: Iterable[Event], stores: Stores) -> list[Done]:
    """The actions among the events, each thing once; guests' are nobody's."""
    found: dict[Key, Done] = {}
    for event in events:
        done = _of(event, stores)
        if done and not points.is_guest(done.customer_id):
            found.setdefault(done.key, done)
    return list(found.values())


def as_action(done: Done, stores: Stores, streak: Streak | None) -> Action:
    """As rules see it."""
    store = stores.get(done.store)
    cart = Cart(store.id, done.at, store.tz, stores.base_currency, (), channel=done.channel)
    more = {"streak": streak.days} if streak else {}
    return Action(done.kind, cart, {**(done.attributes or {}), **more})


def day_of(done: Done, stores: Stores) -> date:
    """The business day, in the store's zone."""
    return done.at.astimezone(stores.get(done.store).tz).date()


def streaks(
    dones: Iterable[Done], before: Mapping[tuple[str, str], Streak], stores: Stores
) -> dict[Key, Streak]:
    """The streak that each new check-in makes, by its key. A day that comes late makes none, for
    later ones have been judged without it; and changes none."""
    now = dict(before)
    found: dict[Key, Streak] = {}
    for done in sorted(dones, key=lambda done: done.at):
        if done.kind == "check_in":
            place = (done.customer_id, activity_of(done))
            day = day_of(done, stores)
            known = now.get(place)
            if known and day <= known.last_day:
                continue
            now[place] = known.and_then(day) if known else Streak(*place, day, 1)
            found[done.key] = now[place]
    return found


def activity_of(done: Done) -> str:
    """What is checked in to: a check-in's thing is that and the day."""
    return done.thing.rpartition("/")[0]


def _of(event: Event, stores: Stores) -> Done | None:
    data = event.data
    match data:
        case CustomerRegistered():
            return _done(event, "registration", "", channel=data.channel)
        case ReviewSubmitted():
            told = {
                "rating": data.rating,
                "length": len(data.review_body),
                "has_image": bool(data.image_urls),
                "product_id": data.product_id,
            }
            return _done(event, "review", data.review_id, attributes=told)
        case SurveyAnswered():
            told = {"survey_id": data.survey_id, "kind": data.kind, "score": data.score}
            return _done(event, "survey", data.survey_id, attributes=told)
        case ActivityCompleted():
            return _activity(event, data, stores)
        case UgcPublished():
            told = {"content_type": data.content_type, "length": len(data.body)}
            return _done(event, "ugc", data.content_id, attributes=told, channel=data.channel)
    return None


def _activity(event: Event, data: ActivityCompleted, stores: Stores) -> Done:
    told = {
        **{name: value for name, value in data.attributes.items() if value is not None},
        "activity_id": data.activity_id,
        "score": data.score,
        "won": data.won,
    }
    done = _done(event, data.kind, data.activity_id, attributes=told, channel=data.channel)
    match data.kind:
        case "check_in":
            return replace(done, thing=f"{data.activity_id}/{day_of(done, stores)}")
        case "share":
            return replace(done, thing=f"{data.activity_id}/{event.id}")  # as often as it is done
        case _:
            return done


def _done(
    event: Event,
    kind: ActionKind,
    thing: str,
    *,
    attributes: Mapping[str, Any] | None = None,
    channel: str = "",
) -> Done:
    store = getattr(event.data, "store", None) or ""
    return Done(event.key, kind, thing, store, event.time, event, channel, attributes)
