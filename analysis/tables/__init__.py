"""Tables: each module makes a tidy table of numbers, and the same in words for a page."""
