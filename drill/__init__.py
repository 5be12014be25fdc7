"""Trials with real processes that are killed: what must hold, holds at any moment."""
