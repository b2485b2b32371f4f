"""The captured tables as the source's own catalogue describes them: columns, types, keys, indexes worth mirroring."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row

from cdc.errors import Fatal


@dataclass(frozen=True, slots=True)
class Column:
    """One column. What its type is made of is told of the type behind any domain, and of an array's element."""

    name: str
    type: str  #: as a mirror declares it: a domain's base type, an enum in the schema mirror
    base_type: str  #: its name in pg_type, without modifiers
    element: str | None = None  #: an array's element type, by its name in pg_type
    kind: str = "b"  #: pg_type.typtype: b base, c composite, e enum, m multirange, r range
    extension: str | None = None  #: the extension that brings the type
    builtin: bool = True  #: the type is of pg_catalog
    domain: bool = False  #: declared through a domain
    labels: tuple[str, ...] = ()  #: an enum's labels in order
    dimensions: int = 0  #: as an array was declared; PostgreSQL itself holds no value to it
    length: int | None = None  #: of a bit string
    toastable: bool = False  #: a value may be stored out of line, and is not sent again then by an update of the row
    generated: str | None = None  #: the expression of a generated column; its values are not in the stream
    missing: str | None = None  #: as text: what rows hold in it that were there when it was added; a store remembers it


@dataclass(frozen=True, slots=True)
class Table:
    """One captured table."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    #: what identifies a row in its records, in order: the replica identity index's columns, or the primary key's
    key: tuple[str, ...]
    indexes: tuple[tuple[str, ...], ...]  #: columns of its other plain indexes, those of foreign keys included
    identity: str = "d"  #: pg_class.relreplident: d primary key, f full, i index, n nothing
    deferrable: bool = False  #: the primary key is checked at the end of a statement or transaction only
    filtered: bool = False  #: the publication has a row filter for it
    hidden_from: str | None = None  #: the reading role, as SQL writes it, if row security may hide rows from it
    inherited: bool = False  #: other tables, no partitions of it, inherit from it
    mirror: str = ""  #: its name in the stores' schema mirror

    @property
    def qualified(self) -> str:
        """schema.table, as Debezium's envelope and END name it."""
        return f"{self.schema}.{self.name}"

    @property
    def keys(self) -> tuple[Column, ...]:
        """The key's columns, in column order."""
        return tuple(column for column in self.columns if column.name in self.key)


#: Whether a column, ``a`` of pg_attribute, is published with its table, ``p`` of pg_publication_tables; for a query that
#: joins COLUMN_LIST. Generated columns are, for the snapshot reads them, unless a list leaves them out.
IS_PUBLISHED = """case when a.attgenerated <> '' and listed.attrs is null then true
                         when to_jsonb(p)->'attnames' is null then true
                         else to_jsonb(p)->'attnames' ? a.attname end"""
#: The table's own list of columns, ``c`` of pg_class, if it is published with one.
COLUMN_LIST = """left join lateral (
             select to_jsonb(r)->'prattrs' as attrs
               from pg_publication_rel r join pg_publication pub on pub.oid = r.prpubid
              where pub.pubname = p.pubname and r.prrelid = c.oid
                and jsonb_typeof(to_jsonb(r)->'prattrs') <> 'null') listed on true"""

_TABLES = f"""
    select n.nspname as schema, c.relname as name, c.relreplident::text as identity,
           coalesce(not pk.indimmediate, false) as deferrable,
           to_jsonb(p)->>'rowfilter' is not null as filtered,
           case when row_security_active(c.oid) then quote_ident(current_user) end as hidden_from,
           exists (
             select from pg_inherits h join pg_class child on child.oid = h.inhrelid
              where h.inhparent = c.oid and not child.relispartition) as inherited,
           array(
             select jsonb_build_object(
                      'name', a.attname,
                      'type', case when element.typtype = 'e' then format('mirror.%%I', concat_ws(
                                            '.', nullif(namespace.nspname, 'public'), base.typname))
                                   when extension.extname is not null
                                   then quote_ident(element.typname) || case element.oid when base.oid then '' else '[]' end
                                   else format_type(base.oid, base.typmod) end,
                      'base_type', base.typname, 'element', nullif(element.typname, base.typname),
                      'kind', element.typtype, 'extension', extension.extname,
                      'builtin', element.typnamespace = 'pg_catalog'::regnamespace,
                      'domain', base.oid <> a.atttypid or element.typtype = 'd',
                      'labels', array(
                         select enumlabel::text from pg_enum where enumtypid = element.oid order by enumsortorder),
                      'dimensions', a.attndims,
                      'length', case when base.typname = 'bit' then base.typmod end,
                      'toastable', a.attstorage <> 'p' and a.attlen = -1,
                      'generated', case when a.attgenerated <> '' then pg_get_expr(ad.adbin, ad.adrelid) end)
               from pg_attribute a
               left join pg_attrdef ad on ad.adrelid = a.attrelid and ad.adnum = a.attnum
              cross join lateral (
                       with recursive origin as (
                           select t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod, a.atttypmod as typmod
                             from pg_type t where t.oid = a.atttypid
                            union all
                           select t.oid, t.typname, t.typtype, t.typbasetype, t.typtypmod, o.typtypmod
                             from origin o join pg_type t on t.oid = o.typbasetype where o.typtype = 'd')
                       select oid, typname, typmod from origin where typtype <> 'd') base
               join pg_type element on element.oid = coalesce(
                      (select e.oid from pg_type e where e.typarray = base.oid), base.oid)
               join pg_namespace namespace on namespace.oid = element.typnamespace
               left join lateral (
                       select x.extname
                         from pg_depend d join pg_extension x on x.oid = d.refobjid
                        where d.classid = 'pg_type'::regclass and d.objid = element.oid and d.deptype = 'e'
                          and d.refclassid = 'pg_extension'::regclass) extension on true
              where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and {IS_PUBLISHED}
              order by a.attnum) as columns,
           array(
             select a.attname::text
               from pg_index i
              cross join lateral unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
               join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
              where i.indrelid = c.oid and k.place <= i.indnkeyatts
                and case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end
              order by k.place) as key,
           array(
             select distinct to_jsonb(array(
                      select a.attname::text
                        from unnest(i.indkey::int2[]) with ordinality as k(attnum, place)
                        join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
                       where k.place <= i.indnkeyatts
                       order by k.place))
               from pg_index i
               join pg_class ic on ic.oid = i.indexrelid
               join pg_am am on am.oid = ic.relam
              where i.indrelid = c.oid
                and not case when c.relreplident = 'i' then i.indisreplident else i.indisprimary end
                and am.amname = 'btree' and i.indexprs is null and i.indpred is null) as indexes
      from pg_publication_tables p
      join pg_namespace n on n.nspname = p.schemaname
      join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
      left join pg_index pk on pk.indrelid = c.oid and pk.indisprimary
     {COLUMN_LIST}
     where p.pubname = %(publication)s
     order by n.nspname, c.relname
"""  # noqa: S608 - of constants


def read_tables(source_dsn: str, publication: str, only: Sequence[str] = ()) -> tuple[Table, ...]:
    """The tables of a publication, in name order; ``only`` narrows them to these schema.table names.

    Whether they can be followed faithfully is cdc/fidelity.py's to say. Raises Fatal when the publication has none of them.
    """
    # Names of types and functions are written out where their schema is not this one's.
    with (
        psycopg.connect(source_dsn, options="-c search_path=pg_catalog") as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        rows = cursor.execute(_TABLES, {"publication": publication}).fetchall()
        if not rows and not cursor.execute("select 1 from pg_publication where pubname = %s", [publication]).fetchone():
            raise Fatal(f"there is no publication {publication}; run `readside setup`, or create it for your tables")
    chosen = [row for row in rows if not only or f"{row['schema']}.{row['name']}" in only]
    names = Counter(row["name"] for row in chosen)
    tables = tuple(_table(row, shared=names[row["name"]] > 1) for row in chosen)
    if missing := set(only) - {table.qualified for table in tables}:
        raise Fatal(
            f"publication {publication} does not hold {', '.join(sorted(missing))}; alter publication … add table"
        )
    if not tables:
        raise Fatal(f"publication {publication} holds no table; run `readside setup`, or create it for your tables")
    return tables


def _table(row: Mapping[str, Any], *, shared: bool) -> Table:
    qualified = shared and row["schema"] != "public"
    return Table(
        schema=row["schema"],
        name=row["name"],
        columns=tuple(Column(**column | {"labels": tuple(column["labels"])}) for column in row["columns"]),
        key=tuple(row["key"]),
        indexes=tuple(tuple(index) for index in row["indexes"]),
        identity=row["identity"],
        deferrable=row["deferrable"],
        filtered=row["filtered"],
        hidden_from=row["hidden_from"],
        inherited=row["inherited"],
        mirror=f"{row['schema']}.{row['name']}" if qualified else row["name"],
    )


def topic_of(prefix: str, table: Table) -> str:
    """The topic Debezium writes a table's changes to: characters outside [A-Za-z0-9._-] become an underscore."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{prefix}.{table.schema}.{table.name}")


def topics_of(prefix: str, tables: Sequence[Table]) -> dict[str, Table]:
    """Table by topic. Raises Fatal when two tables' names become one topic."""
    topics: dict[str, Table] = {}
    for table in tables:
        topic = topic_of(prefix, table)
        if topic in topics:
            raise Fatal(f"{table.qualified} and {topics[topic].qualified} share the topic {topic}; rename one of them")
        topics[topic] = table
    return topics


def transaction_topic(prefix: str) -> str:
    """The topic of Debezium's BEGIN and END records."""
    return f"{prefix}.transaction"


def message_topic(prefix: str) -> str:
    """The topic of the canaries: logical messages of ours that Debezium passes on (cdc/canary.py)."""
    return f"{prefix}.message"


def control_topic(prefix: str) -> str:
    """The topic in which readside notes that a snapshot is complete (docs/decisions/0005)."""
    return f"{prefix}.readside"
