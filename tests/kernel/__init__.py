"""The kernel lab: tests in a virtual machine with a Debian kernel, where USB devices come and go (`make test-kernel`)."""
