"""What makes files of this repository from others of it. Never imported by the program, never shipped."""
