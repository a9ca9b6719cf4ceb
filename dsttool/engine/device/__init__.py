"""The one interface: Device, Request, Capabilities."""
