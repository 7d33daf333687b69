"""evertrain keeps machine-learning models in production fresh."""
