"""The build of docs/analytics.md: a small shop in an analytics store, the document's questions asked, its charts drawn.

``python -m stack.guide`` writes the answers and the charts; with ``--check`` it only says, by its exit code, whether they
are fresh.
"""
