"""From a captured PostgreSQL database to whole source transactions in commit order.

In: the settings, the source's catalogue, Kafka records as Debezium wrote them. Out: ``Transaction``s of ``Change``s.
"""
