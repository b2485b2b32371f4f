"""What the documents of the read models look like: for the OpenAPI document alone.

Answers go out as the store holds them, never through these models; tests hold the stored documents to them.
"""
