"""What the commands do, a module each. ``cli`` has their flags, prints what they give, and turns it into exit codes."""
