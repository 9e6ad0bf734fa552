"""autosync-xmpp: tells the other hosts of a push, and this host of theirs."""

PROGRAM = "autosync-xmpp"
