"""One file per revision, numbered; a revision that was released never changes."""
