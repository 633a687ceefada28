"""What must hold of each parser, whatever it is given; and the fuzzers that try. Not part of the program."""
