"""The analytics store: DuckDB, one process that owns the file, ad hoc SQL through it."""
