"""The same network, computed in another way: in less time, or in less memory."""
