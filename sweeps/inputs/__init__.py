"""What runs need from outside: photographs and imported weights."""
