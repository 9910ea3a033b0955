"""The kernel lab (`make test-kernel`): a virtual machine with a Debian kernel, where USB devices come and go."""
