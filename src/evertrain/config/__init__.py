"""What a user declares and configures, to frozen values; the bundle of their code."""
