"""The drill: real processes write, refresh and are killed; not one figure may drift."""
