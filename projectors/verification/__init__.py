"""Compares the stores with the source, on demand (`readside verify`) and all the time (the reconciler)."""
