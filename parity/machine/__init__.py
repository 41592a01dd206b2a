"""The layer on every code path of this machine, and the bugs of others that show on it."""
