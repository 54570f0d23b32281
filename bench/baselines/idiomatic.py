"""The same effects as most would write them: FastStream, an ORM session, an event a transaction.

The event's id is claimed, the account updated, the posting and the outbox row added; a task
publishes the outbox. FastStream acknowledges each message when its handler has returned.
"""

import asyncio
import os
from datetime import datetime
from typing import Any

import uvloop
from faststream import FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from pydantic import BaseModel
from sqlalchemy import BigInteger, delete, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """The ORM's registry."""


class Inbox(Base):
    __tablename__ = "handled_event"
    event_id: Mapped[str] = mapped_column(primary_key=True)


class Account(Base):
    __tablename__ = "account"
    customer_id: Mapped[str] = mapped_column(primary_key=True)
    points: Mapped[int] = mapped_column(BigInteger)


class Posting(Base):
    __tablename__ = "posting"
    id: Mapped[str] = mapped_column(primary_key=True)
    customer_id: Mapped[str]
    order_id: Mapped[str]
    points: Mapped[int] = mapped_column(BigInteger)


class Outbox(Base):
    __tablename__ = "outgoing"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    key: Mapped[str]
    payload: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Line(BaseModel):
    line_id: str
    product_id: str | None = None
    quantity: int
    unit_price_minor: int
    total_minor: int


class Order(BaseModel):
    customer_id: str
    order_id: str
    revision: int
    store: str
    currency: str
    total_minor: int
    lines: list[Line]
    placed_at: datetime | None = None


engine = create_async_engine(os.environ["DATABASE_URL"].replace("://", "+asyncpg://", 1))
session = async_sessionmaker(engine, expire_on_commit=False)
broker = KafkaBroker(os.environ["KAFKA_SERVERS"])
app = FastStream(broker)
publisher = broker.publisher("crm.loyalty.v1")


@broker.subscriber("shop.orders.v1", group_id="idiomatic", auto_offset_reset="earliest")
async def on_order(order: Order, message: KafkaMessage) -> None:
    """One event, one transaction."""
    event_id = message.headers["ce_id"]
    async with session.begin() as db:
        if await db.get(Inbox, event_id):
            return
        db.add(Inbox(event_id=event_id))
        account = await db.scalar(
            select(Account).where(Account.customer_id == order.customer_id).with_for_update()
        )
        if account is None:
            account = Account(customer_id=order.customer_id, points=0)
            db.add(account)
        points = order.total_minor // 100
        account.points += points
        db.add(
            Posting(
                id=event_id,
                customer_id=order.customer_id,
                order_id=order.order_id,
                points=points,
            )
        )
        earned = {"customer_id": order.customer_id, "order_id": order.order_id, "points": points}
        db.add(Outbox(key=order.customer_id, payload=earned))


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
