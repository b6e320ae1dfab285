"""From a request to packs: which runs are finished and which are missing, and how long they take."""
