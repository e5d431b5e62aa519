"""`translate-mix push`: uploads a finished mix to the Hugging Face hub, verified before and compared after.

What is large goes first and is kept by the hub, so that a rerun sends only what is missing; then a commit
names it all at once. A repository without `manifest.json` holds an unfinished push.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipelines.filesystem import is_local
from pipelines.images import REFERENCE
from pipelines.manifest import Manifest, read_manifest
from pipelines.report import is_outdated
from pipelines.summary import counted
from pipelines.verify import problems
from translation.memory_segments import parse_name
from translation.mix_folder import ANSWERS, CARD, FOLDERS, MANIFEST, MEMORY, REPORT, SHARD, THRESHOLDS
from translation.progress import CountProgress

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

DATASET = "dataset"
MAIN = "main"
"""The hub's branch that everybody sees first."""

COMMIT_FILES = 500
"""Files of one commit; the hub needs longer than its own time limit for thousands."""
GROUP_FILES, GROUP_BYTES = 20, 10**9
"""What is uploaded between two steps of the progress."""


class PushError(RuntimeError):
    """The mix was not pushed, or not whole; the message says why and what to do, in one line."""


@dataclass(frozen=True)
class LocalFile:
    """A file that the hub shall have."""

    name: str
    """In the mix and in the repository."""
    path: Path
    size: int
    sha256: str | None
    """As the manifest has it; None for the files beside it."""


@dataclass(frozen=True)
class RemoteFile:
    """A file that the hub has."""

    sha256: str | None
    """Of a large one."""
    blob: str
    """Git's digest; of a large file's it is that of a pointer to it."""


def push(
    directory: str,
    repository: str,
    *,
    private: bool = True,
    revision: str | None = None,
    message: str | None = None,
    with_memory: bool = False,
    console: Console | None = None,
    quiet: bool = True,
) -> str:
    """Uploads a finished mix and returns the URL of the data set.

    Args:
        directory: of the mix, on this machine.
        repository: `owner/name`, or `name` for the owner of the token; made where there is none.
        private: of a repository that is made; one that is there stays as it is.
        revision: branch, made where there is none; default: the main one.
        message: of the commit.
        with_memory: the translation memory too.
        console: for progress.

    Raises:
        ValueError: no finished mix, or a name that the hub does not allow.
        PushError: the mix is damaged, its report is outdated, there is no token or no right to write, or the
            hub failed; the same call goes on where it stopped.
    """
    try:
        import huggingface_hub
        from huggingface_hub.utils import validate_repo_id
    except ImportError as error:
        raise PushError("push needs huggingface_hub: pip install 'translate-mix[hub]'") from error

    if not is_local(directory):
        raise ValueError(f"{directory}: push reads a folder of this machine; copy the mix here first")
    if message is not None and not message.strip():
        raise ValueError("--message must not be empty")
    validate_repo_id(repository)
    manifest = read_manifest(directory)
    if huggingface_hub.get_token() is None:
        raise PushError(
            "the hub wants a token that may write: run `hf auth login`, or set HF_TOKEN (a token is made at "
            "https://huggingface.co/settings/tokens)"
        )
    console = console or Console(stderr=True, highlight=False)
    if is_outdated(directory):
        raise PushError(
            f"{directory}: {REPORT} is of the mix before it changed; `translate-mix report` makes it "
            "again, or delete it"
        )
    if manifest.recipe.get("images") == REFERENCE:
        console.print(
            "[yellow]The pictures are not in this mix (images: reference), so the hub gets none: its rows "
            "name files of this machine.[/]",
            soft_wrap=True,
        )
    _check_whole(directory, manifest, console, quiet)
    files = mix_files(directory, manifest, with_memory)
    api = huggingface_hub.HfApi(library_name="translate-mix")
    message = message or f"{manifest.recipe.get('name', 'mix')}: {manifest.accepted:,} rows"
    with _told(repository), _without_bars():
        made = api.create_repo(repository, repo_type=DATASET, private=private, exist_ok=True)
        target = _Target(api, made.repo_id, revision or MAIN, with_memory)
        if revision is not None:
            api.create_branch(target.repository, repo_type=DATASET, branch=revision, exist_ok=True)
        target.send(files, message, console, quiet)
    where = "" if revision is None else f"/tree/{revision}"
    return f"{made}{where}"


def _check_whole(directory: str, manifest: Manifest, console: Console, quiet: bool) -> None:
    rows = sum(file.rows for file in manifest.all_files)
    with CountProgress("verify", rows, console, quiet) as progress:
        found = list(problems(directory, progress.advance))
    if found:
        more = f"; and {len(found) - 3:,} more" if len(found) > 3 else ""
        raise PushError(
            f"{directory}: damaged, nothing was uploaded: {'; '.join(found[:3])}{more} "
            "(`translate-mix verify` lists all)"
        )


def mix_files(directory: str, manifest: Manifest, with_memory: bool = False) -> list[LocalFile]:
    """What a repository holds of a mix, in the order of upload: the manifest last.

    Files that no mix has (`.work`, notes of yours) are not among them.
    """
    root = Path(directory)
    digests = {file.path: file.sha256 for file in manifest.all_files}
    names = list(digests)
    if with_memory:
        # Not what was set aside as damaged, and not what a killed run left half written.
        segments = sorted(path.name for path in (root / MEMORY).glob("*") if parse_name(path.name))
        names += [f"{MEMORY}/{name}" for name in segments]
    others = [ANSWERS] if manifest.answers is not None else []
    others += [THRESHOLDS] if manifest.thresholds else []
    others += [REPORT, CARD, MANIFEST]
    names += [name for name in others if (root / name).is_file()]
    return [LocalFile(name, root / name, (root / name).stat().st_size, digests.get(name)) for name in names]


@dataclass(frozen=True)
class _Target:
    api: HfApi
    repository: str
    revision: str
    with_memory: bool

    def send(self, files: Sequence[LocalFile], message: str, console: Console, quiet: bool) -> None:
        # The commit first: one that comes while the files are listed is then told of.
        head, there = self.head(), self.files()
        foreign = [name for name in there if name.split("/")[0] in FOLDERS and not SHARD.fullmatch(name)]
        if foreign:
            raise PushError(
                f"{self.repository}: holds data of something else ({foreign[0]}), which `datasets` would mix "
                "with this; name another repository"
            )
        wanted = {file.name for file in files}
        stale = sorted(name for name in there if name not in wanted and self._replaces(name))
        missing = [file for file in files if not _is_there(file, there.get(file.name))]
        if missing or stale:
            self._commit(self._uploaded(missing, console, quiet), stale, MANIFEST in there, message, head)
        self._check(files, stale)

    def _replaces(self, name: str) -> bool:
        """Whether a file can only be of an earlier push, and is no part of this mix if it is not sent."""
        folder, _, rest = name.partition("/")
        if folder == MEMORY:
            return self.with_memory and parse_name(rest) is not None
        return bool(SHARD.fullmatch(name)) or name in (ANSWERS, THRESHOLDS, REPORT)

    def files(self) -> dict[str, RemoteFile]:
        """Name -> what stands there now."""
        listed = self.api.list_repo_tree(
            self.repository, repo_type=DATASET, revision=self.revision, recursive=True
        )
        # Folders have no size.
        return {
            one.path: RemoteFile(one.lfs.sha256 if one.lfs else None, one.blob_id)
            for one in listed
            if hasattr(one, "size")
        }

    def head(self) -> str:
        """The newest commit."""
        return str(self.api.repo_info(self.repository, repo_type=DATASET, revision=self.revision).sha)

    def _uploaded(
        self, files: Sequence[LocalFile], console: Console, quiet: bool
    ) -> list[CommitOperationAdd]:
        """Gives the hub the content of what is large; nobody sees it before it is committed."""
        from huggingface_hub import CommitOperationAdd

        additions = []
        with CountProgress("upload", _megabytes(files), console, quiet, unit="MB") as progress:
            for group in _groups(files):
                new = [CommitOperationAdd(file.name, file.path) for file in group]
                self.api.preupload_lfs_files(
                    self.repository, new, repo_type=DATASET, revision=self.revision, free_memory=False
                )
                for file, addition in zip(group, new, strict=True):
                    if file.sha256 is not None and addition.upload_info.sha256.hex() != file.sha256:
                        raise PushError(
                            f"{file.path}: has changed since it was verified: something else works there; "
                            "give the same command again"
                        )
                additions += new
                progress.advance(_megabytes(group))
        return additions

    def _commit(
        self,
        additions: Sequence[CommitOperationAdd],
        stale: Sequence[str],
        finished: bool,
        message: str,
        head: str,
    ) -> None:
        """One commit, or where there are many files several, the manifest in the last of them.

        Args:
            finished: the repository holds a manifest, which must not vouch for half of the new files.
            head: the commit that everything was compared with; another one by now is an error.
        """
        from huggingface_hub import CommitOperationDelete

        parts = list(_chunks(additions, COMMIT_FILES)) or [[]]
        for number, part in enumerate(parts, 1):
            operations: list[Any] = list(part)
            if number == 1 and finished and len(parts) > 1:
                operations.append(CommitOperationDelete(MANIFEST))
            if number == len(parts):
                operations += [CommitOperationDelete(name) for name in stale]
            head = self.api.create_commit(
                self.repository,
                operations,
                commit_message=message if len(parts) == 1 else f"{message} (part {number} of {len(parts)})",
                repo_type=DATASET,
                revision=self.revision,
                parent_commit=head,
            ).oid

    def _check(self, files: Sequence[LocalFile], stale: Sequence[str]) -> None:
        """The hub has now what is here: a `.gitignore` there, for one, keeps files out without a word."""
        there = self.files()
        wrong = [file.name for file in files if not _is_there(file, there.get(file.name))]
        wrong += [name for name in stale if name in there]
        if wrong:
            raise PushError(
                f"{self.repository}: {counted(len(wrong), 'file')} on the hub not as here ({wrong[0]}); look "
                "for a .gitignore there or another push at the same time, and give the same command again"
            )


def _is_there(file: LocalFile, remote: RemoteFile | None) -> bool:
    if remote is None:
        return False
    if remote.sha256 is None:
        content = file.path.read_bytes()
        return hashlib.sha1(b"blob %d\0%b" % (len(content), content)).hexdigest() == remote.blob
    return (file.sha256 or _sha256(file.path)) == remote.sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _megabytes(files: Sequence[LocalFile]) -> int:
    """Begun ones, each file for itself, so that parts add up."""
    return sum(-(-file.size // 10**6) for file in files)


def _groups(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    group: list[LocalFile] = []
    for file in files:
        group.append(file)
        if len(group) == GROUP_FILES or sum(one.size for one in group) >= GROUP_BYTES:
            yield group
            group = []
    if group:
        yield group


def _chunks(additions: Sequence[CommitOperationAdd], size: int) -> Iterator[list[CommitOperationAdd]]:
    left = iter(additions)
    while chunk := list(islice(left, size)):
        yield chunk


@contextmanager
def _without_bars() -> Iterator[None]:
    """The library's own progress bars are off, ours are on."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


_REMEDIES: Mapping[int, str] = {
    401: "the token is not valid; run `hf auth login`, or set HF_TOKEN",
    403: "the token may not write there; make one with that right at https://huggingface.co/settings/tokens",
    404: "there is no such repository, branch or owner, or the token may not see it",
    409: "something else is being changed there; give the same command again",
    412: "somebody has pushed meanwhile; give the same command again",
    413: "the hub does not take files of that size",
    429: "the hub wants fewer requests; wait, and give the same command again",
}


@contextmanager
def _told(repository: str) -> Iterator[None]:
    """Failures of the hub and of the way there as a `PushError` of one line."""
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, OfflineModeIsEnabled

    try:
        yield
    except PushError:
        raise
    except OfflineModeIsEnabled as error:
        raise PushError(f"{repository}: HF_HUB_OFFLINE is set, so nothing can be uploaded") from error
    # What uploads in threads, and the library of the large files, raise RuntimeError.
    except (HTTPError, OSError, RuntimeError) as error:
        cause: BaseException = error
        while isinstance(cause, RuntimeError) and cause.__cause__ is not None:
            cause = cause.__cause__
        again = "give the same command again, it goes on from here"
        if isinstance(cause, HfHubHTTPError):
            code = cause.response.status_code
            remedy = _REMEDIES.get(code, again)
            said = f" ({' '.join(cause.server_message.split())[:200]})" if cause.server_message else ""
            raise PushError(f"{repository}: the hub says {code}{said}: {remedy}") from error
        text = " ".join(str(cause).split()) or type(cause).__name__
        raise PushError(f"{repository}: the upload broke off ({text[:200]}): {again}") from error
