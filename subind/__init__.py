"""The method: Subtask Induction on packs of replicas, its specs, identities, records and store."""
