"""The terminal dashboard. What it shows is made here without Textual; only ``app`` and ``screens`` import that."""
