"""What follows from the figures: findings, caveats, gains."""
