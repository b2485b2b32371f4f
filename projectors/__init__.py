"""From whole source transactions to read models: declarations, the engine, and the two stores that hold them."""
