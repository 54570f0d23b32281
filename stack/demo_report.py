"""What the demo shows at its end: one customer, and how the suite has fared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.panel import Panel
from rich.table import Table

from stack.caught_up import Notices, Standing
from stack.door import Door
from stack.latency import Latency
from stack.ports import SERVICES
from stack.publish import Published
from stack.show import console, money
from stack.story import Story

TIMELINE_SHOWN = 9
ITEMS_SHOWN = 5
MAILS_SHOWN = 4
WAITING = "held: no address yet"


@dataclass(frozen=True, slots=True)
class Lived:
    """What was seen while it was lived."""

    history: Published
    handled_s: float
    """From the first event of history until all four services had handled it."""
    live: Published
    latencies: dict[str, Latency]
    standings: Sequence[Standing]
    notices: Sequence[Notices]


def show(story: Story, lived: Lived, door: Door) -> bool:
    """Print it all; whether it is as it should be."""
    _show_life(story)
    _show_customer(door, story.hero)
    _show_speed(lived)
    books = door.get("loyalty", "/v1/ledger/reconciliation")
    _show_books(books)
    mails = door.sent("mail")
    _show_messages(lived.notices, mails, len(door.sent("sms")))
    if story.forgotten:
        _show_forgotten(door, story.forgotten)
    return _judge(lived, books, mails)


def _show_life(story: Story) -> None:
    told = ", ".join(f"{count:,} {name}" for name, count in story.types.most_common(12))
    console.print(Panel(told + ", ...", title=f"{story.types.total():,} events", expand=False))


def _show_customer(door: Door, hero: str) -> None:
    profile = door.get("profile", "/v1/profiles/{}", hero) or {}
    account = door.get("loyalty", "/v1/accounts/{}", hero) or {"active": 0, "pending": 0}
    answer = door.get("recommend", "/v1/recommendations/{}", hero, limit=ITEMS_SHOWN)
    notices = door.get("notify", "/v1/notices", customer_id=hero) or {"items": []}
    timeline = door.get("profile", "/v1/profiles/{}/timeline", hero, limit=TIMELINE_SHOWN)
    table = Table(
        title=f"One customer, in four services: {hero}", show_lines=True, show_header=False
    )
    table.add_row("profile", "\n".join(_portrait(profile)))
    table.add_row(
        "timeline", "\n".join(_entry(entry) for entry in (timeline or {"items": []})["items"])
    )
    table.add_row("loyalty", f"{account['active']} points active, {account['pending']} pending")
    table.add_row(
        "recommend", "\n".join(_item(item) for item in (answer or {"items": []})["items"])
    )
    table.add_row(
        "notify", "\n".join(_notice(notice) for notice in notices["items"][:6]) or "nothing"
    )
    console.print(table)


def _portrait(profile: dict[str, Any]) -> list[str]:
    if not profile:
        return ["nothing"]
    known = profile["attributes"]
    browsed = sum(profile["browse"].values())
    spent = money(profile["spend_minor"], profile["currency"])
    return [
        f"{known.get('name', '')}, {known.get('city', '')}; ids: {', '.join(profile['members'])}",
        f"{profile['orders']} orders, {profile['units']} pieces kept, {spent} spent",
        f"{browsed} page views, searches and carts",
    ]


def _entry(entry: dict[str, Any]) -> str:
    told = entry["summary"]
    names = ("name", "product_id", "order_id", "query", "purpose", "category", "anonymous_id")
    what = next((str(told[name]) for name in names if told.get(name)), "")
    return f"{entry['time'][:16].replace('T', ' ')}  {entry['type']:22} {what}"


def _item(item: dict[str, Any]) -> str:
    because = f" (goes with {item['because']})" if item["because"] else " (popular)"
    offer = item["offer"]
    price = f", {money(offer['price_minor'], offer['currency'])}" if offer else ""
    return f"{item['name']}{price}{because}"


def _notice(notice: dict[str, Any]) -> str:
    reason = f", {notice['reason']}" if notice["reason"] else ""
    name = f"{notice['kind']} by {notice['channel']}, order {notice['order_id']}"
    return f"{name}: {notice['state']}{reason}"


def _show_speed(lived: Lived) -> None:
    past = lived.history
    rate = past.events / lived.handled_s
    console.print(
        f"History: {past.events:,} events published at {past.per_second:,.0f} a second; handled"
        f" by all four services after {lived.handled_s:.1f} s, {rate:,.0f} a second."
    )
    title = f"{lived.live.events:,} live events at {lived.live.per_second:,.0f} a second"
    table = Table(
        "service", "event to effect p50", "p99", "lag", "outbox", "dead letters", title=title
    )
    for standing in lived.standings:
        latency = lived.latencies[standing.service]
        table.add_row(
            standing.service,
            f"{1000 * latency.p50_s:.0f} ms",
            f"{1000 * latency.p99_s:.0f} ms",
            str(standing.behind),
            str(standing.outbox),
            str(standing.letters),
        )
    console.print(table)


def _show_books(books: dict[str, Any]) -> None:
    sums = ", ".join(f"{name} {points:,}" for name, points in books["accounts"].items() if points)
    word = "balanced" if books["balanced"] else "NOT BALANCED"
    console.print(
        f"Books: {books['journals']:,} journals, {books['postings']:,} postings; {sums}."
        f" Their sum is {books['sum']}: {word}."
    )


def _show_messages(notices: Sequence[Notices], mails: list[dict[str, Any]], texts: int) -> None:
    table = Table("channel", "state", "reason", "notices", title="Messages to customers")
    for each in notices:
        state = WAITING if each.state == "created" else each.state
        table.add_row(each.channel, state, each.reason, f"{each.count:,}")
    console.print(table)
    console.print(
        f"{len(mails)} mails arrived at the SMTP sink, {texts} SMS at the stub; the last mails:"
    )
    for mail in mails[-MAILS_SHOWN:]:
        console.print(f"  to {', '.join(mail['to'])}: {mail['subject']}", markup=False)


def _show_forgotten(door: Door, customer_id: str) -> None:
    paths = (("profile", "/v1/profiles/{}"), ("loyalty", "/v1/accounts/{}"))
    answers = [
        f"{service} {'404' if door.get(service, path, customer_id) is None else '200'}"
        for service, path in paths
    ]
    console.print(f"{customer_id} asked to be forgotten: {', '.join(answers)}.")


def _judge(lived: Lived, books: dict[str, Any], mails: list[dict[str, Any]]) -> bool:
    """Name what is wrong."""
    wrong = []
    if not books["balanced"] or books["sum"]:
        wrong.append("the books do not balance")
    for standing in lived.standings:
        if not standing.idle:
            wrong.append(f"{standing.service} is behind")
        if standing.letters:
            wrong.append(f"{standing.service} has {standing.letters} dead letters")
    if not mails:
        wrong.append("no mail went out")
    for fault in wrong:
        console.print(f"WRONG: {fault}", style="red")
    return not wrong


def show_where(home: Path, env: Mapping[str, str]) -> None:
    """The addresses of what runs on."""
    table = Table(title="Where to look next", show_header=False)
    for service in SERVICES:
        table.add_row(service, f"{env[f'{service.upper()}_URL']}/docs")
    table.add_row("mails", env["MAIL_URL"])
    table.add_row("addresses and admin key", f"{home}/env")
    command = f"REGULARS_STACK_DIR={home} python -m stack"
    table.add_row("commands", f"{command} status | logs | where ORDER_ID | down")
    console.print(table)


def show_how_to_look(home: Path) -> None:
    """What to do when it is stopped."""
    console.print(
        "Where to look next: `python -m stack demo --keep` leaves it running;"
        f" `REGULARS_STACK_DIR={home} python -m stack up` brings this one back;"
        " README.md leads from here to the services."
    )
