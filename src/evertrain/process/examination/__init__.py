"""What `doctor` looks at: this machine, and the condition of a state directory."""
