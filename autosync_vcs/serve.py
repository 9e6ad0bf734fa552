"""Sets autosync-vcs up from its arguments: configuration, repositories, the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autosync_common.arguments import number
from autosync_common.config import for_directories, load
from autosync_common.errors import AutosyncError, UserError
from autosync_common.host import host_name, this_host
from autosync_common.one_line import one_line
from autosync_common.paths import home
from autosync_common.sentences import many, subject
from autosync_common.settings import Configuration, Repository
from autosync_common.stage import Stage, options_of
from autosync_vcs import PROGRAM, first_contact
from autosync_vcs.driver import Driver
from autosync_vcs.events import Settings
from autosync_vcs.git.gitdriver import GitDriver
from autosync_vcs.service import OFFERS, Service
from autosync_vcs.worker import Worker

HOME_REMEDY = "a whole home is rarely meant: name a directory in it that is a clone, such as ~/notes"


def serve(arguments: Mapping[str, Any]) -> int:
    """Serve until told to stop, or until the end of stdin has been dealt with; give the exit status."""
    options = options_of(arguments)
    configuration = configured(arguments, options.config)
    stage = Stage(PROGRAM, replace(options, bus=configuration.bus), offers=OFFERS)
    stage.open_to_peers()
    service = _service(stage, configuration, arguments)
    try:
        stage.ready()
        return stage.run()
    finally:
        service.close()


def configured(arguments: Mapping[str, Any], config: Path | None) -> Configuration:
    """Give the configuration of the file, or the defaults for the directories that were named."""
    if config is not None and not arguments["PATH"]:
        return load(config)
    if config is not None:
        raise UserError("", "both --config and PATH", "one of them says which repositories")
    if not arguments["PATH"]:
        raise UserError("", "no PATH", "which repository? autosync-vcs PATH, or --config=FILE")
    return for_directories(arguments["PATH"])


def settings_of(repository: Repository, syncmethod: str, arguments: Mapping[str, Any]) -> Settings:
    """Give what the configuration and the options decide for one repository."""
    vcs = repository.vcs
    settings = Settings(
        settle_s=repository.coalesce.settle_s,
        push_delay_s=vcs.push_delay_s,
        poll_interval_s=vcs.poll_interval_s,
        poll_interval_told_s=vcs.poll_interval_told_s,
        network=vcs.push and syncmethod != "none" and not arguments["--no-push"],
        rescan_after_pull=vcs.pulllock == "conservative",
    )
    push_delay = number(arguments, "--push-delay")
    poll = number(arguments, "--poll", minimum=0.1)
    if push_delay is not None:
        settings = replace(settings, push_delay_s=push_delay)
    if poll is not None:
        settings = replace(settings, poll_interval_s=poll)
    return settings


def dry_run(arguments: Mapping[str, Any]) -> int:
    """Print what would be committed and pushed."""
    configuration = configured(arguments, options_of(arguments).config)
    for repository in configuration.repositories:
        driver = open_driver(repository)
        try:
            if not first_contact.is_past(driver.state_dir):
                print(*map(one_line, first_contact.lines(repository.name, driver.plan())), sep="\n")
            found = driver.commit(None, dry_run=True)
            standing = driver.standing()
        finally:
            driver.close()
        what = subject(found.changes) if found.changes else "nothing"
        print(f"{repository.name}: would be committed: {what}")
        for change in found.changes:
            print(f"  {change.kind}\t{one_line(change.path)}")
        for poison in found.quarantined:
            print(one_line(f"  not taken: {poison.path.decode('utf-8', 'replace')}: {poison.reason}"))
        if settings_of(repository, configuration.syncmethod, arguments).network and standing.url:
            commits = (standing.ahead or 0) + bool(found.changes)
            what = f"{many(commits, 'commit')} to {standing.url}" if commits else "nothing"
            print(f"{repository.name}: would be pushed: {what}")
    return 0


def open_driver(repository: Repository) -> Driver:
    """Raises ``AutosyncError`` where there is nothing to work on."""
    try:
        return GitDriver(repository.path, repository.vcs, host_name())
    except UserError as error:
        if "git init" in error.remedy and Path(repository.path).resolve() == home().resolve():
            raise UserError(error.subject, error.reason, HOME_REMEDY) from None
        raise


def _service(stage: Stage, configuration: Configuration, arguments: Mapping[str, Any]) -> Service:
    opened = _opened(configuration.repositories)
    host = this_host()
    workers = [
        Worker(
            stage,
            repository,
            settings_of(repository, configuration.syncmethod, arguments),
            lambda repository=repository: open_driver(repository),  # type: ignore[misc]
            host,
            driver=opened.get(repository.name),
            confirmed=arguments["--yes"],
        )
        for repository in configuration.repositories
    ]
    return Service(stage, workers)


def _opened(repositories: Sequence[Repository]) -> dict[str, Driver]:
    """Open what can be opened. A root that is away does not stop the others; none at all is an error."""
    opened: dict[str, Driver] = {}
    errors: list[AutosyncError] = []
    for repository in repositories:
        try:
            opened[repository.name] = open_driver(repository)
        except AutosyncError as error:
            errors.append(error)
    if errors and not opened:
        raise errors[0]
    return opened
