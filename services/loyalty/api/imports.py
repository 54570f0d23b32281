"""What was brought from elsewhere, file by file. The files are brought by the command `import`.

GET /v1/imports  the batches, newest first
"""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel

from services.loyalty.store import imports as store
from shared.http import paging
from shared.http.auth import needs
from shared.http.context import Ctx

router = APIRouter(prefix="/v1/imports", tags=["imports"])

POSITION = paging.Cursor(int)
NUMBER_MAX = (1 << 63) - 1


class ImportView(BaseModel):
    """One file that was brought, with the control totals of the rows that were taken."""

    id: int
    kind: str
    file: str
    """Its name, without its folder."""
    sha256: str
    """Of its content, in hexadecimal."""
    state: store.State
    """`open` can be taken back, `closed` cannot; `importing` and `reversing` are to be ended."""
    rows: int
    rows_left_out: int
    points: int
    """That came into the ledger."""
    minor: int
    """Money of what is not points, in minor units."""
    customers: int
    row_done: int
    """The last row of the file that was brought."""
    row_back: int
    """The last row that was taken back."""
    at: datetime
    """From when on it counts."""
    created_by: str

    @classmethod
    def of(cls, kept: store.Kept) -> "ImportView":
        names = cls.model_fields.keys() - {"sha256"}
        told = {name: getattr(kept, name) for name in names}
        return cls(sha256=kept.digest.hex(), **told)


@router.get("", openapi_extra=needs("audit:read", "loyalty:read"))
async def list_imports(
    context: Ctx, cursor: str = "", limit: paging.Limit = 50
) -> paging.Page[ImportView]:
    """The files that were brought, newest first; also those that were taken back."""
    before = POSITION.decode(cursor)
    async with context.engine.connect() as conn:
        first = NUMBER_MAX if before is None else min(before, NUMBER_MAX)
        found = await store.list_newest(conn, max(first, 0), limit + 1)
    views = [ImportView.of(each) for each in found]
    return paging.page(views, limit, lambda view: POSITION.encode(view.id))
