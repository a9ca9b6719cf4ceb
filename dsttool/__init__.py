"""dsttool: dependable network block storage from user space."""

__version__ = "0.1.0"
