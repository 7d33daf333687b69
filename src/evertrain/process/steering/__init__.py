"""The planes as the controller uses them, and the orders that people give."""
