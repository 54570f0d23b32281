"""What we measure ourselves against: each short enough to judge by reading."""
