"""What every test may rely on."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts a command in the background (`make test &`) deaf to Ctrl-C, and all its children with it. Some
    # tests send that signal, to themselves or to a process that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
