"""Measures: each case runs the old way, a peer, ours and the floor on the same data in one run."""
