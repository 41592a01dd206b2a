"""The layer on every code path of this machine, and the upstream bugs that appear there."""
