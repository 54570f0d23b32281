"""What one event left behind in this service, for GET /v1/events/{source}/{id}."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

FIND_CAUSED = text("""
    WITH entry AS (
        SELECT customer_id, type, summary FROM timeline WHERE id = :id AND source = :source
        LIMIT 20
    )
    SELECT 'timeline' AS what, customer_id, type AS detail FROM entry
    UNION ALL
    SELECT 'order_state', o.customer_id, o.order_id || ' revision ' || o.revision
    FROM entry JOIN order_state AS o
        ON o.order_id = entry.summary ->> 'order_id' AND o.customer_id = entry.customer_id
    WHERE o.id = :id AND o.source = :source
    UNION ALL
    SELECT 'consent', c.customer_id, c.purpose || ' by ' || c.channel || ': ' || c.state
    FROM entry JOIN consent AS c ON c.customer_id = entry.customer_id
    WHERE c.id = :id AND c.source = :source
    UNION ALL
    SELECT 'identity_link', other_id, kind || ' ' || member_id
    FROM identity_link
    WHERE id = :id AND source = :source
""")


async def caused(conn: AsyncConnection, source: str, id_: str) -> list[dict[str, Any]]:
    """Each row that the event made or last changed: what, whose, and a word about it."""
    rows = await conn.execute(FIND_CAUSED, {"source": source, "id": id_})
    return [dict(row) for row in rows.mappings()]
