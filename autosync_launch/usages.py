"""What ``autosync --help`` and ``autosync VERB --help`` print; apart from the verbs, to be read fast."""

from __future__ import annotations

RUN = """\
Keep directories that are git repositories in step on all your hosts.

Usage:
  autosync [options] [PATH...]
  autosync VERB [ARGUMENT...]

Without a verb the pipeline runs here, in the foreground, and prints what happens. PATH is a configuration
file (default: ~/.autosync), or directories to run on without any configuration.

Verbs (autosync help VERB shows the manual page, autosync VERB --help a summary):
  status [REPOSITORY...]    is it safe, everywhere?
  log [REPOSITORY|FILE...]  what happened
  conflicts [FILE]          what two hosts changed at once: list it, compare, settle
  sync [REPOSITORY...]      now, and wait until done
  pause [REPOSITORY...]     hold everything
  resume [REPOSITORY...]    go on
  confirm REPOSITORY...     say yes to what a held repository asks
  stop                      end the pipeline
  help [VERB]               the manual page
  watch coalesce vcs xmpp tap, and each autosync-NAME on PATH: that tool

Options:
  -c --config=FILE  the configuration file
  --yes             do not ask before a repository is synced from here for the first time
  --dry-run         say what would be committed and pushed, and do nothing
  --ready-fd=N      write a newline to this descriptor once all stages are ready
  -v --verbose      let the stages say more on stderr
  -q --quiet        do not print what happens
  --version         print the version
  -h --help         print this
"""

STATUS = """\
Tell whether everything is safe: each repository, each host, each process.

Usage:
  autosync status [options] [REPOSITORY...]

Options:
  -c --config=FILE  only what runs by this configuration (or on this directory)
  --short           one line
  --json            one JSON object a line
  -q --quiet        nothing but the exit status
  --version         print the version
  -h --help         print this

Exit status: 0 in step or busy, 1 something needs you, 111 not running.
"""

LOG = """\
Tell what happened.

Usage:
  autosync log [options] [REPOSITORY | FILE]...

Options:
  -f --follow       go on with what happens from now on
  -n COUNT          the last COUNT lines (50, where there is no --since)
  --since=TIME      from then on: 18:22, yesterday, 2026-11-22, "2 hours ago"
  --json            one JSON object a line: the message with its event and text
  -c --config=FILE  only what runs by this configuration (or on this directory)
  --version         print the version
  -h --help         print this

Exit status: 0 something is shown, 1 nothing is found.
"""

COMMON_OPTIONS = """\
  -c --config=FILE  only what runs by this configuration (or on this directory)
  -q --quiet        say nothing
  --version         print the version
  -h --help         print this
"""

SYNC = f"""\
Commit, fetch and push now, and wait until everything that was saved before is on the remote.

Usage:
  autosync sync [options] [REPOSITORY...]

Options:
  --wait=SECONDS    wait at most so long; 0: do not wait [default: 60]
{COMMON_OPTIONS}
Exit status: 0 done, 111 not running or not done, with the reason.
"""

PAUSE = f"""\
Hold everything: nothing is committed, pushed or pulled until resume, also after a restart.

Usage:
  autosync pause [options] [REPOSITORY...]

Options:
{COMMON_OPTIONS}
Exit status: 0 nothing is being written any more, 111 not running.
"""

RESUME = f"""\
Go on after a pause; what changed meanwhile is found.

Usage:
  autosync resume [options] [REPOSITORY...]

Options:
{COMMON_OPTIONS}
Exit status: 0 done, 111 not running.
"""

CONFIRM = f"""\
Say yes to what a held repository asks.

Usage:
  autosync confirm [options] REPOSITORY...

Options:
{COMMON_OPTIONS}
Exit status: 0 done, 111 not running.
"""

STOP = f"""\
End the pipeline, and wait until it has ended. What is being written is finished first.

Usage:
  autosync stop [options]

Options:
{COMMON_OPTIONS}
Exit status: 0 it has ended, 111 not running, or still ending after 60 seconds.
"""

HELP = """\
Show the manual page of autosync, of a verb, of a tool or of the configuration.

Usage:
  autosync help [options] [VERB]

Options:
  --version  print the version
  -h --help  print this
"""
