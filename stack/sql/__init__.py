"""``readside sql``: the analytics store from a terminal: one statement, a script on standard input, or a prompt."""
