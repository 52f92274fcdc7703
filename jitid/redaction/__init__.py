"""Recognition of tokens, plain or escaped, so that no error and no log shows one."""
