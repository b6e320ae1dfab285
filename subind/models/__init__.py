"""The networks, each on packs of replicas."""
