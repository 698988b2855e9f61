"""What a compute graph is made of: edges, weights, blocks and parts."""
