"""Teachers: what they are, how they are taught, and what they say of every clip. No worker imports any of it."""
