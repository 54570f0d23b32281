"""Carries out adjustments by hand: asked for, booked at once or by a second person.

The person's accounts are locked first; the caller's turn, which his other requests wait
for, and the adjustment's own row come last.
"""

from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.loyalty.books import adjusting, ledger
from services.loyalty.books import wallet as wallets
from services.loyalty.books.adjusting import Adjustment, AdjustmentPolicy, State
from services.loyalty.books.ledger import SOURCE, AccountKind, Deed, Journal, Posting
from services.loyalty.books.programme import programme_at
from services.loyalty.books.wallet import DEED_ACCOUNTS_MAX, Wallet
from services.loyalty.earning.orders import Terms
from services.loyalty.spending import announcements
from services.loyalty.store import adjustments as store
from services.loyalty.work import booking
from shared.errors import NotFound, Unprocessable
from shared.events import codec
from shared.events.loyalty import PointsEarned, PointsReversed

ADJUSTMENT = "adjustment"
"""The source of journals and lots whose document is an adjustment."""
NO_ACCOUNT = "no account: nothing of this customer has been heard yet"


@dataclass(frozen=True, slots=True)
class Decided:
    """What the second person says."""

    state: State
    by: str
    at: datetime
    comment: str = ""


async def ask(conn: AsyncConnection, asked: Adjustment, terms: Terms) -> Adjustment:
    """Book it, or let it wait for a second person; either way it is kept."""
    at = asked.requested_at
    policy, version = adjusting.policy_at(terms.book, at)
    adjusting.check(policy, asked.points, asked.reason, asked.note)
    _check_expiry(asked, at)
    wallet = await _open(conn, asked, at)
    if not wallet.accounts:
        raise NotFound(NO_ACCOUNT)
    await store.lock_caller(conn, asked.requested_by)
    since, until = _day(at, terms, asked.store)
    today = await store.sum_day(conn, asked.requested_by, since, until)
    decision = adjusting.decide(policy, version, asked.points, today)
    kept = replace(asked, waits_for=decision.waits_for, inputs=decision.inputs)
    if not decision.waits_for:
        kept = replace(kept, state="booked", decided_at=at)
        kept = await _book(conn, kept, wallet, policy, terms)
    await store.add(conn, kept)
    return kept


async def decide(
    conn: AsyncConnection, seen: Adjustment, decided: Decided, terms: Terms
) -> Adjustment:
    """Approve or decline one that waits; AlreadyDecided or OwnApproval if not."""
    adjusting.second(seen, decided.by)
    wallet = await _open(conn, seen, decided.at)
    found = await store.lock(conn, seen.id)
    assert found, "adjustments are never deleted"
    adjusting.second(found, decided.by)
    after = replace(
        found,
        state=decided.state,
        decided_by=decided.by,
        decided_at=decided.at,
        comment=decided.comment,
    )
    if after.state == "booked":
        _check_expiry(after, decided.at)
        policy, _ = adjusting.policy_at(terms.book, decided.at)
        after = await _book(conn, after, wallet, policy, terms)
    await store.save_decision(conn, after)
    return after


async def _open(conn: AsyncConnection, adjustment: Adjustment, now: datetime) -> Wallet:
    """With all the points that are to be taken, if there are so many: in whatever number of lots,
    and in checkouts that never came back."""
    assert adjustment.customer_id, "none is asked for somebody erased, and of him none waits"
    wanted = max(1, -adjustment.points)
    return await booking.open_person(conn, adjustment.customer_id, now, wanted=wanted)


async def _book(
    conn: AsyncConnection,
    adjustment: Adjustment,
    wallet: Wallet,
    policy: AdjustmentPolicy,
    terms: Terms,
) -> Adjustment:
    """The adjustment with the expiry that its points have got."""
    assert adjustment.decided_at, "it is decided"
    at = adjustment.decided_at
    cause = ledger.cause_of(SOURCE, f"adjustment/{adjustment.id}", at)
    deed = Deed(ADJUSTMENT, str(adjustment.id), 1, cause, adjustment.store)
    own = _own(wallet, adjustment.customer_id)
    if adjustment.points > 0:
        expires_at = adjustment.expires_at or programme_at(terms.book, at).expiry.expires_at(
            at, terms.stores.get(adjustment.store).tz
        )
        given = [Posting("", AccountKind.ADJUSTED, AccountKind.ACTIVE, adjustment.points)]
        wallets.activate(wallet, own, deed, given, expires_at, kind="adjust")
        adjustment = replace(adjustment, expires_at=expires_at)
    else:
        _take(wallet, own, deed, -adjustment.points, below_zero=policy.below_zero, now=at)
    _tell(wallet, adjustment)
    await booking.save(conn, wallet, terms.stores)
    return adjustment


def _take(
    wallet: Wallet, own: UUID, deed: Deed, points: int, *, below_zero: bool, now: datetime
) -> None:
    """From what the person can spend; beyond it he owes, if the policy allows that."""
    held = min(points, wallet.spendable(now)) if below_zero else points
    if held:
        wallets.spend(wallet, deed, held, AccountKind.ADJUSTED, now)
    if owed := points - held:
        rest = deed._replace(revision=DEED_ACCOUNTS_MAX + 1)
        debt = Posting("", AccountKind.OWED, AccountKind.ADJUSTED, owed)
        wallet.book(own, rest, "adjust", [debt])


def _tell(wallet: Wallet, adjustment: Adjustment) -> None:
    for journal in wallet.journals:
        if journal.kind == "adjust":
            account = wallet.accounts[journal.account_id]
            common = announcements.common_of(journal, account) | {
                "points": _moved(journal),
                "reason": adjustment.reason,
            }
            name = f"points/adjust/{journal.revision}"
            if adjustment.points > 0:
                fact, type_ = PointsEarned(**common), "points.earned"
                told = codec.follow(journal.cause, name, type_, fact, source=SOURCE)
            else:
                owed = sum(p.points for p in journal.postings if p.debit is AccountKind.OWED)
                taken = PointsReversed(**common, direction="taken_back", owed=owed)
                told = codec.follow(journal.cause, name, "points.reversed", taken, source=SOURCE)
            wallet.facts.append(told)


def _moved(journal: Journal) -> int:
    """What was given or taken, without the debt that was paid of it."""
    sides = AccountKind.ADJUSTED
    return sum(p.points for p in journal.postings if sides in {p.debit, p.credit})


def _own(wallet: Wallet, customer_id: str | None) -> UUID:
    """The account under the id that was named, else the first of the person's."""
    accounts = sorted(wallet.accounts.values(), key=lambda each: each.customer_id)
    named = [each for each in accounts if each.customer_id == customer_id]
    return (named or accounts)[0].account_id


def _check_expiry(adjustment: Adjustment, now: datetime) -> None:
    if adjustment.expires_at and adjustment.points < 0:
        raise Unprocessable("expires_at: points that are taken have no date; leave it out")
    if adjustment.expires_at and adjustment.expires_at <= now:
        raise Unprocessable("expires_at: is over; give a later time")


def _day(at: datetime, terms: Terms, store_id: str) -> tuple[datetime, datetime]:
    """The business day of the store."""
    zone = terms.stores.get(store_id).tz
    day = at.astimezone(zone).date()
    begins = datetime.combine(day, time(0), zone)
    return begins, datetime.combine(day + timedelta(1), time(0), zone)
