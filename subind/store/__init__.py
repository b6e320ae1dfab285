"""The store of finished runs: folders, records, result rows, local and remote files. No torch."""
