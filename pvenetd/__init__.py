"""pvenetd: the network of a KVM host, from the interfaces file to the guest's tap."""

__version__ = "0.1.0"
