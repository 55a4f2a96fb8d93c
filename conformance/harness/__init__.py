"""The mock and the proxies of a run, on sockets of this machine, with a clock that tests can set."""
