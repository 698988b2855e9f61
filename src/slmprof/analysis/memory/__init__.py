"""Where the bytes are: buffers, places, what is live at the peak."""
