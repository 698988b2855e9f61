"""From a breakdown to text. Reporters format; they compute nothing and need no native code."""
