"""The batches over HTTP: newest first, page by page, for auditors too."""

from services.loyalty.tests.office import Office
from services.loyalty.tests.shop import NOON


async def test_batches_are_listed_newest_first_with_their_totals(door, tmp_path, capsys):
    office = Office(door, tmp_path, capsys)
    for number in range(3):
        row = (f"c{number}", number + 1, "2026-01-05")
        await office.bring(office.file(row, name=f"f{number}.csv"))
    await office.reverse()

    async with door.client("audit:read") as http:
        first = (await http.get("/v1/imports", params={"limit": 2})).json()
        more = {"limit": 2, "cursor": first["next"]}
        last = (await http.get("/v1/imports", params=more)).json()
        wrong = await http.get("/v1/imports", params={"cursor": "x"})
    async with door.client("profile:read") as http:
        refused = await http.get("/v1/imports")

    listed = [*first["items"], *last["items"]]
    assert [each["file"] for each in listed] == ["f2.csv", "f1.csv", "f0.csv"]
    assert [each["state"] for each in listed] == ["reversed", "open", "open"]
    assert [(each["points"], each["rows"], each["minor"]) for each in listed] == [
        (3, 1, 0),
        (2, 1, 0),
        (1, 1, 0),
    ]
    assert listed[0]["kind"] == "balances"
    assert listed[0]["row_back"] == listed[0]["row_done"] == 2
    assert listed[0]["at"].startswith(f"{NOON:%Y-%m-%d}")
    assert last["next"] is None
    assert (wrong.status_code, refused.status_code) == (400, 403)
