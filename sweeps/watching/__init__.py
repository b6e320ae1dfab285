"""How a sweep stands, and why a run is as it is."""
