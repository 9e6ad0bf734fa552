"""Stages that answer requests, and a vcs that publishes the state that a file gives."""

from __future__ import annotations

import json

from tests.launch.pipelines import REPOSITORY, Pipelines

HEAD = """#!/usr/bin/env python3
import json, os, pathlib, sys
sys.path.insert(0, {repository!r})
from autosync_common.messages import VcsCommitted, VcsState, Change, plain
from autosync_common.arguments import COMMON_OPTIONS, parse
from autosync_common.stage import Stage, options_of

program = pathlib.Path(sys.argv[0])
usage = f"Usage: {{program.name}} [options] [--in=ENDPOINT]... [PATH...]\\n\\nOptions:\\n" + COMMON_OPTIONS
arguments = parse(usage, None, program=program.name)
stage = Stage(program.name, options_of(arguments), offers=("vcs.state", "vcs.committed"))
with open(program.parent / "order", "a") as file:
    file.write(f"{{stage.name}} start {{os.getpid()}}\\n{{stage.name}} ready {{os.getpid()}}\\n")
handlers = {{}}
"""
VCS = """
here = program.parent
(root,) = arguments["PATH"]
requests, served = [], 0
def state():
    told = json.loads((here / "state").read_text()) if (here / "state").exists() else {{"state": "in step"}}
    return VcsState(**{{"root": root, "repository": "1234", "name": "notes", "url": "hub:notes.git",
                       "branch": "main", "head": "5f3c2ab0000", "news_within_s": 15.0, **told}})
def note(fields):
    with open(here / "requests", "a") as file:
        file.write(json.dumps(fields) + "\\n")
    stage.publish(state())
    return {{}}
def sync(fields):
    global served
    served += 1
    note(fields)
    stage.publish(VcsCommitted(root=root, repository="1234", revision="5f3c2ab0000",
                               changes=(Change("shopping.txt", "written"),)))
    return {{"tickets": {{root: served}}}}
def status(fields):
    return {{"repositories": [plain(state()) | {{"done_ticket": served}}]}}
handlers = {{"vcs.sync": sync, "vcs.pause": note, "vcs.resume": note, "vcs.confirm": note,
            "status": status}}
stage.publish(state())
"""
TAIL = """
stage.serve(handlers)
stage.ready()
sys.exit(stage.run())
"""


def install(pipelines: Pipelines) -> None:
    """Put the answering stages in place of the silent ones."""
    for name in ("watch", "coalesce", "vcs"):
        source = HEAD + (VCS if name == "vcs" else "") + TAIL
        pipelines.fake(name, source.format(repository=str(REPOSITORY)))


def says(pipelines: Pipelines, state: str, **fields: object) -> None:
    (pipelines.here / "state").write_text(json.dumps({"state": state, **fields}))
