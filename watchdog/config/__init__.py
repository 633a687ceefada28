"""The configuration: read whole or not at all, every fault said at once, nothing guessed.

``load`` is the door for the program; ``schema`` holds the values it hands out. Other packages are handed their settings
and never load them.
"""
