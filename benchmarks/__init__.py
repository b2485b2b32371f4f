"""What readside's speed is, as ratios to a bare floor measured in the same run: this machine is shared and noisy."""
