"""What a run is: frozen specs, checked when they are made. No torch."""
