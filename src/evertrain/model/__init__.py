"""Train in isolation, evaluate, package, sign."""
