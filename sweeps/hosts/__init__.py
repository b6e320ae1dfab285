"""The machines of a sweep: workers, Ray, signals, private files, what a terminal shows."""
