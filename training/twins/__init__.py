"""What the experiment trains: twins that differ in their masks alone."""
