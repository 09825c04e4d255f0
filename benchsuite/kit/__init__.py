"""What plugins are made of: data, training, recovery, networks, losses and timing."""
