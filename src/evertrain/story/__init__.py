"""Stories: history replayed through the live system, from outside, through its real doors."""
