"""The words of DuckDB's SQL that a question is made of; what is seldom typed is left out, so that Tab stays short."""

from __future__ import annotations

_KEYWORDS = """
    all and any as asc asof between by case cast count cross cube cumulative current row date day desc describe distinct
    else end except exclude exists explain extract false filter first following from full group grouping sets having hour
    ilike in inner intersect interval is join last lateral left like limit minute month natural not null nulls offset on
    or order outer over partition pivot preceding qualify range recursive replace right rollup row rows sample second
    select semi similar summarize tablesample then timestamp timestamptz to true unbounded union unnest unpivot using
    values when where window with within year
"""
_FUNCTIONS = """
    abs approx_count_distinct arg_max arg_min avg bool_and bool_or coalesce concat count count_if current_date date_diff
    date_part date_trunc dense_rank first_value floor generate_series greatest histogram lag last_value lead least length
    list lower max median min mode now nullif quantile_cont quantile_disc rank regexp_extract regexp_matches
    replace round row_number split_part stddev strftime string_agg strptime substring sum time_bucket today trim unnest
    upper variance
"""

KEYWORDS = tuple(_KEYWORDS.split())
FUNCTIONS = tuple(_FUNCTIONS.split())
