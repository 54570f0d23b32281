"""`where ORDER_ID`: what each service knows of an order, and did about it."""

from typing import Any

from rich.table import Table

from stack.door import Door
from stack.ports import SERVICES


def trace(door: Door, order_id: str) -> tuple[Table, bool]:
    """A table for people, and whether any service knows the order."""
    table = Table(
        "service", "revision", "what it knows", title=f"Order {order_id}", show_lines=True
    )
    known = False
    for service in SERVICES:
        order = door.get(service, "/v1/orders/{}", order_id)
        if order is None:
            table.add_row(service, "", "[dim]nothing[/]")
            continue
        known = True
        table.add_row(service, str(order["revision"]), "\n".join(TELLERS[service](order)))
    return table, known


def _of_profile(order: dict[str, Any]) -> list[str]:
    kept, total, currency = order["kept_minor"], order["total_minor"], order["currency"]
    lines = [
        f"of {order['customer_id']}, {order['store']}; {order['units']} pieces kept",
        f"{kept / 100:.2f} of {total / 100:.2f} {currency} kept",
    ]
    return lines + [f"{each['time'][:19]}  {each['type']}" for each in order["events"]]


def _of_loyalty(order: dict[str, Any]) -> list[str]:
    points = f"{order['pending']} points pending, {order['active']} active"
    return [f"{order['verdict']}: {points}"] + [
        f"{each['event_time'][:19]}  {each['kind']} {each['points']}" for each in order["journals"]
    ]


def _of_recommend(order: dict[str, Any]) -> list[str]:
    products = [f"{each['product_id']} x {each['units']}" for each in order["products"]]
    return [f"counts for {', '.join(products[:12]) or 'nothing'}"]


def _of_notify(order: dict[str, Any]) -> list[str]:
    return [
        f"{each['kind']} by {each['channel']}: {each['state']}"
        + (f", {each['reason']}" if each["reason"] else "")
        for each in order["notices"]
    ] or ["no notice"]


TELLERS = {
    "profile": _of_profile,
    "loyalty": _of_loyalty,
    "recommend": _of_recommend,
    "notify": _of_notify,
}
