"""Telling people: what is worth a word, what of it to say now, and the channels that carry it."""
