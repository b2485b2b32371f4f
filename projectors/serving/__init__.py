"""The serving store: PostgreSQL, for screens."""
