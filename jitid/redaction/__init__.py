"""How tokens look, escaped or plain, so that no error and no log shows one."""
