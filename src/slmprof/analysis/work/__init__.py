"""What an op has to do: FLOPs, bytes, and how near it comes to the ceilings."""
