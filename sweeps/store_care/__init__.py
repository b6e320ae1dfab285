"""Maintenance of a store: verify, repair, retry, remove what nobody needs."""
