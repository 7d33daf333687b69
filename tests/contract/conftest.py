"""What pytest must leave alone here: programs of other environments."""

collect_ignore = ["clients"]
