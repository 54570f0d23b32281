"""Loyalty as most would write it: FastStream, an ORM session, an event a transaction.

The same business as ours for an order that is paid and then arrives: the order's last revision,
one award for each line, pending points and then a lot, a journal with its postings, the
balance, and what is told. Each line earns a point for each full unit. A task publishes the
outbox. It has one rule and no others, no tiers, returns, debts, merges or chain: so it does
less than ours.
"""

import asyncio
import os
import uuid
from datetime import datetime
from typing import Any

import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from pydantic import BaseModel
from sqlalchemy import BigInteger, ForeignKey, delete, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The ORM's registry."""


class Inbox(Base):
    __tablename__ = "handled_event"
    event_id: Mapped[str] = mapped_column(primary_key=True)


class Order(Base):
    __tablename__ = "known_order"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(index=True)
    revision: Mapped[int]
    type: Mapped[str]
    points: Mapped[int] = mapped_column(BigInteger, default=0)
    active: Mapped[bool] = mapped_column(default=False)


class Award(Base):
    __tablename__ = "award"
    order_id: Mapped[str] = mapped_column(primary_key=True)
    line_id: Mapped[str] = mapped_column(primary_key=True)
    rule: Mapped[str]
    basis_minor: Mapped[int] = mapped_column(BigInteger)
    points: Mapped[int] = mapped_column(BigInteger)
    inputs: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Account(Base):
    __tablename__ = "account"
    customer_id: Mapped[str] = mapped_column(primary_key=True)
    pending: Mapped[int] = mapped_column(BigInteger, default=0)
    active: Mapped[int] = mapped_column(BigInteger, default=0)


class Lot(Base):
    __tablename__ = "lot"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    customer_id: Mapped[str] = mapped_column(index=True)
    order_id: Mapped[str] = mapped_column(index=True)
    earned_at: Mapped[datetime]
    points: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)


class Journal(Base):
    __tablename__ = "journal"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    customer_id: Mapped[str] = mapped_column(index=True)
    order_id: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    event_id: Mapped[str]


class Posting(Base):
    __tablename__ = "posting"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    journal_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("journal.id"), index=True)
    line_id: Mapped[str]
    debit: Mapped[str]
    credit: Mapped[str]
    points: Mapped[int] = mapped_column(BigInteger)


class Outbox(Base):
    __tablename__ = "outgoing"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    key: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)


class LineIn(BaseModel):
    line_id: str
    quantity: int
    total_minor: int


class OrderIn(BaseModel):
    customer_id: str
    order_id: str
    revision: int
    currency: str
    total_minor: int
    lines: list[LineIn]


engine = create_async_engine(os.environ["DATABASE_URL"].replace("://", "+asyncpg://", 1))
session = async_sessionmaker(engine, expire_on_commit=False)
broker = KafkaBroker(os.environ["KAFKA_SERVERS"])
app = FastStream(broker)
publisher = broker.publisher("crm.loyalty.v1")


@broker.subscriber("shop.orders.v1", group_id="idiomatic", auto_offset_reset="earliest")
async def on_order(given: OrderIn, message: KafkaMessage) -> None:
    """One event, one transaction."""
    event_id, type_ = message.headers["ce_id"], message.headers["ce_type"]
    async with session.begin() as db:
        if await db.get(Inbox, event_id):
            return
        db.add(Inbox(event_id=event_id))
        account = await db.scalar(
            select(Account).where(Account.customer_id == given.customer_id).with_for_update()
        )
        if account is None:
            account = Account(customer_id=given.customer_id, pending=0, active=0)
            db.add(account)
        order = await db.get(Order, given.order_id)
        if order is None:
            order = Order(
                order_id=given.order_id, customer_id=given.customer_id, revision=0, points=0
            )
            db.add(order)
        if given.revision <= order.revision:
            return
        order.revision, order.type = given.revision, type_
        if not order.points:
            award(db, given, order)
            await post(db, order, event_id, "earn", given)
            account.pending += order.points
        if type_ == "order.completed" and not order.active:
            order.active = True
            await post(db, order, event_id, "activate", given)
            account.pending -= order.points
            account.active += order.points
            db.add(
                Lot(
                    customer_id=order.customer_id,
                    order_id=order.order_id,
                    earned_at=datetime.now(),  # noqa: DTZ005  a column without a zone
                    points=order.points,
                    remaining=order.points,
                )
            )


def award(db: AsyncSession, given: OrderIn, order: Order) -> None:
    """What each line earns, and on what."""
    inputs = {"currency": given.currency, "total_minor": given.total_minor, "rate": 1}
    for line in given.lines:
        points = line.total_minor // 100
        order.points += points
        db.add(
            Award(
                order_id=order.order_id,
                line_id=line.line_id,
                rule="base",
                basis_minor=line.total_minor,
                points=points,
                inputs=inputs,
            )
        )


async def post(db: AsyncSession, order: Order, event_id: str, kind: str, given: OrderIn) -> None:
    """The journal with a posting for each line, and what is told of it."""
    journal = Journal(
        customer_id=order.customer_id, order_id=order.order_id, kind=kind, event_id=event_id
    )
    db.add(journal)
    await db.flush()
    debit, credit = ("issued", "pending") if kind == "earn" else ("pending", "active")
    for line in given.lines:
        points = line.total_minor // 100
        db.add(
            Posting(
                journal_id=journal.id,
                line_id=line.line_id,
                debit=debit,
                credit=credit,
                points=points,
            )
        )
    told = {"customer_id": order.customer_id, "order_id": order.order_id, "points": order.points}
    db.add(Outbox(key=order.customer_id, payload=told | {"kind": kind}))


@app.after_startup
async def start_relay() -> None:
    """Publish what is in the outbox, beside the handler."""
    app.context.set_global("relay", asyncio.create_task(relay()))


async def relay() -> None:
    """Read a page, publish it, delete it."""
    while True:
        async with session.begin() as db:
            rows = (await db.scalars(select(Outbox).order_by(Outbox.id).limit(100))).all()
            for row in rows:
                await publisher.publish(row.payload, key=row.key.encode())
            await db.execute(delete(Outbox).where(Outbox.id.in_([row.id for row in rows])))
        if not rows:
            await asyncio.sleep(0.1)


async def main() -> None:
    """Make the tables, then consume."""
    async with engine.begin() as conn:
        await conn.run_sync(Base.metadata.create_all)
    await app.run(log_level=30)


if __name__ == "__main__":
    uvloop.run(main())
