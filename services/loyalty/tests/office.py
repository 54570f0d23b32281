"""An operator's shell: runs the commands on a test's database, and reads what they say."""

import csv
import re
from datetime import timedelta

import pytest
import typer

from services.loyalty.arrivals.import_columns import Mapping
from services.loyalty.tests.shop import NOON
from services.loyalty.work import import_back, imports
from services.loyalty.work.import_desk import Desk
from services.loyalty.work.import_files import Source
from services.loyalty.work.imports import Importer
from shared.testing import SECRET

BALANCES = ("customer_id", "points", "earned_at", "expires_at", "store", "note", "order_id")
STORES = """
base_currency = "EUR"
[[store]]
id = "web"
[[store]]
id = "outlet"
earns = false
"""
NOW = NOON + timedelta(hours=1)


class Killed(Exception):
    pass


class Office:
    def __init__(self, door, folder, capsys) -> None:
        (folder / "secret").write_bytes(SECRET)
        (folder / "stores.toml").write_text(STORES)
        self.folder, self.capsys, self.batch = folder, capsys, 0
        self.settings = door.world.settings.model_copy(
            update={
                "erasure_secret_file": folder / "secret",
                "stores_file": folder / "stores.toml",
                "clock": NOW.isoformat().replace("+00:00", "Z"),
            }
        )

    def file(self, *rows, header=BALANCES, name="old.csv"):
        path = self.folder / name
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows((*row, *[""] * (len(header) - len(row))) for row in rows)
        return path

    async def bring(self, path, kind="balances", *, dry=False, skip_wrong=False, **more):
        source = Source(path, kind, more.pop("mapping", Mapping()), more.pop("ids", None))
        desk = Desk(more.pop("report", None))
        await desk.bring(self.settings, source, dry=dry, skip_wrong=skip_wrong)
        said = self.said()
        if told := re.findall(r"batch (\d+) is", said):
            self.batch = int(told[-1])
        return said

    async def bring_and_die(self, monkeypatch, path, kind):
        """Begin with the file, from now on two rows at a time; the process dies after the first."""
        for module in (imports, import_back):
            monkeypatch.setattr(module, "CHUNK_ROWS", 2)
        bring = Importer._bring

        async def dies(importer, source, kept, rows, done):
            if done:
                raise Killed
            await bring(importer, source, kept, rows, done)

        with monkeypatch.context() as patched:
            patched.setattr(Importer, "_bring", dies)
            with pytest.raises(Killed):
                await self.bring(path, kind)
        self.said()

    async def reverse(self, batch=0):
        """Take back the batch, or the last one that was brought."""
        await Desk().reverse(self.settings, batch or self.batch)
        return self.said()

    async def compare(self, path, **more):
        """Whether all is equal, and what is said."""
        source = Source(path, "compare", Mapping())
        asked = {"at": None, "since": None, "pending": False} | more
        try:
            await Desk(self.folder / "differences.csv").compare(self.settings, source, **asked)
        except typer.Exit as exit_:
            return exit_.exit_code == 0, self.said()
        return True, self.said()

    def said(self):
        told = self.capsys.readouterr()
        return told.out + told.err
