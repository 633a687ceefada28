"""The words every room shares: pure values, no I/O, no logging, no clock. Anyone may import from here."""
