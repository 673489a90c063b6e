"""pandas' own way into a database: two frames per page, by `to_sql`. No hashing, no keys, no cache."""

import pandas as pd
import sqlalchemy

from bench.ingest import flat
from bench.ingest.pages import Pages, records_of
from bench.ingest.way import Way
from bench.servers import Servers


class ToSql(Way):
    """Appends, so a second load would duplicate everything. Removes a person's duplicates within a page."""

    users, addresses, cached = "pandas.users", "pandas.users_address", False

    def __init__(self, servers: Servers, pages: Pages) -> None:
        super().__init__(servers, pages)
        servers.rows("CREATE SCHEMA IF NOT EXISTS pandas")
        url = sqlalchemy.make_url(servers.database_url)
        self._engine = sqlalchemy.create_engine(url.set(drivername="postgresql+psycopg2"))
        self._load(pages.bodies[0])  # creates the tables

    def work(self) -> None:
        for body in self.pages.bodies:
            self._load(body)

    def close(self) -> None:
        self._engine.dispose()

    def _load(self, body: bytes) -> None:
        records = records_of(body)
        with self._engine.begin() as connection:
            for table, row_of in (("users", flat.user), ("users_address", flat.address)):
                frame = pd.DataFrame.from_records([row_of(record) for record in records])
                unique = frame.drop_duplicates("uid", keep="last")
                unique.to_sql(table, connection, schema="pandas", if_exists="append", index=False)
