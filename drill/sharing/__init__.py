"""The drill of who may see what: `python -m drill.sharing`."""
