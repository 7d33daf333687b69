"""The controller: the loop that decides, and the door through which people ask it."""
