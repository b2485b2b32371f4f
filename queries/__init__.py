"""The query server: reads only, one row or one page per request, each with the moment it is true for. Never writes."""
