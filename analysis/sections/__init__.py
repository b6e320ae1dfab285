"""The sections of a report: each puts a table, its pictures and what must be said of them together."""
