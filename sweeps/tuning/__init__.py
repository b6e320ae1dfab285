"""Tuning of masks with Optuna: trials are runs of the store, asked in batches and trained as packs."""
