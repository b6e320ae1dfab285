"""The sweep itself: driver, searcher, workers."""
