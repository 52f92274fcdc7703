"""The Python interface: identities of this process, and the verification of tokens. `jitid` exports its names."""
