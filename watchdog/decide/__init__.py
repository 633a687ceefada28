"""What to do with each pack. Arithmetic only: no I/O, no logging, no clock, no dice of its own."""
