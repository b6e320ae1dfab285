"""The MLflow mirror of a store."""
