"""One row's way through every hop: the source, its records in Kafka, each store, and the read models that it touches."""
