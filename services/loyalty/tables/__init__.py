"""Loyalty's tables: the schema's one truth, which the migrations are checked against.

No foreign keys: their triggers run for each row and cost the ledger most of its speed. A
posting is inserted by the function that inserts its journal, and nothing is ever deleted.

closings     closed months, and what was prepared of them
ledger       members, balances, journals, postings, seals
orders       what each order has booked, and the awards behind it
referrals    who invited whom, and what that is judged by
lots         dated points
reservations points set aside for checkouts
claims       offers that orders were promised
promotions   what offers and coupons cost on each order
membership   stays, waiting orders, external ids, cards, paid terms
coupons      rewards in members' hands, their stocks, the shop's own codes
definitions  what the store has laid down: the programme, rules, offers, rewards
actions      what customers did beside ordering
rules        what earning rules decide on, what they decided, caps and budgets
tiers        what counts for a tier, who has which, and why
adjustments  points given and taken by hand, and earning that is held for review
imports      what was brought from elsewhere
"""

from services.loyalty.tables import (
    actions,
    adjustments,
    claims,
    closings,
    coupons,
    definitions,
    imports,
    ledger,
    lots,
    membership,
    orders,
    promotions,
    referrals,
    reservations,
    rules,
    tiers,
)
from services.loyalty.tables.metadata import METADATA

__all__ = [
    "METADATA",
    "actions",
    "adjustments",
    "claims",
    "closings",
    "coupons",
    "definitions",
    "imports",
    "ledger",
    "lots",
    "membership",
    "orders",
    "promotions",
    "referrals",
    "reservations",
    "rules",
    "tiers",
]
