"""One Dataflow job for an output: its name follows from the output, and no two jobs of a name run at once.

Stores have no locks, but Dataflow has: it refuses a job while another one of its name is not at its end
(https://cloud.google.com/dataflow/docs/guides/setting-pipeline-options, `job_name`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipelines.options import is_dataflow

_PREFIX = "translate-mix"
_LONGEST_FOLDER = 30
"""Letters of the output's folder in a name; a name has at most 63, as labels of machines do."""

_CONFLICT = 409


class JobRefused(Exception):
    """Dataflow does not take the job, or does not say which ones are running; the message says why."""


def name_job(options: PipelineOptions, output: str) -> None:
    """Names a Dataflow job after its output, unless `--job_name` did."""
    cloud = options.view_as(GoogleCloudOptions)
    if is_dataflow(options) and not cloud.job_name:
        cloud.job_name = job_name(output)


def job_name(output: str) -> str:
    """The usual name of the job that writes to an output: its folder, for people, and a digest of its URL."""
    url = output.rstrip("/")
    folder = re.sub(r"[^a-z0-9]+", "-", url.rpartition("/")[2].lower())[:_LONGEST_FOLDER].strip("-")
    digest = hashlib.sha256(url.encode()).hexdigest()[:12]
    return "-".join(part for part in (_PREFIX, folder, digest) if part)


def check_not_running(options: PipelineOptions, output: str) -> None:
    """Whether no job of this one's name is running, which may be writing to the output.

    Raises:
        ValueError: one is.
        JobRefused: the service does not say.
    """
    cloud = options.view_as(GoogleCloudOptions)
    # A template's launcher is a job of that name itself; whoever starts a template gives it a name.
    if not is_dataflow(options) or cloud.template_location:
        return
    job = _running(options, cloud)
    if job is not None:
        raise ValueError(_still_running(cloud, output, job))


def _running(options: PipelineOptions, cloud: GoogleCloudOptions) -> str | None:
    """The id of the job of this one's name that has not ended."""
    # These come with Beam's Dataflow alone.
    from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud.dataflow_v1beta3 import ListJobsRequest

    asked = ListJobsRequest(
        project_id=cloud.project, location=cloud.region, filter=ListJobsRequest.Filter.ACTIVE
    )
    try:
        # Its own `job_id_for_name` knows running jobs alone, not those that are about to.
        jobs = DataflowApplicationClient(options)._jobs_client.list_jobs(asked)
        return next((str(job.id) for job in jobs if job.name == cloud.job_name), None)
    except (GoogleAPICallError, GoogleAuthError) as error:
        why = " ".join(str(error).split())
        raise JobRefused(f"Dataflow does not say which jobs are running: {why}") from error


def _still_running(cloud: GoogleCloudOptions, output: str, job: str) -> str:
    ours = cloud.job_name == job_name(output)
    what = "is still writing there" if ours else "has the same name, and may be writing there"
    wait = f"wait for its end, or end it by: {cancelling(cloud, job)}"
    other = "" if ours else "; if it writes to another output, give another --job_name"
    return f"{output}: job {job} ({cloud.job_name}) {what}; {wait}{other}"


def cancelling(cloud: GoogleCloudOptions, job: str) -> str:
    """The command that ends a job at once."""
    return f"gcloud dataflow jobs cancel {job} --region={cloud.region} --project={cloud.project}"


@contextmanager
def refusals_told(options: PipelineOptions) -> Iterator[None]:
    """Dataflow's refusal of a second job of a name as a `JobRefused`, which does not advise another name.

    With that, both would write to the output. It comes to this where another job started a moment ago.
    """
    if not is_dataflow(options):
        yield
        return
    from apache_beam.runners.dataflow.internal.apiclient import DataflowJobAlreadyExistsError
    from google.api_core.exceptions import GoogleAPICallError

    try:
        yield
    except (DataflowJobAlreadyExistsError, GoogleAPICallError) as error:
        if isinstance(error, GoogleAPICallError) and error.code != _CONFLICT:
            raise
        name = options.view_as(GoogleCloudOptions).job_name
        # Not with what it follows from, whose advice is the other one.
        raise JobRefused(
            f"another job of the name {name} has started a moment ago, and may be writing to the same "
            "output; wait for its end, and give the same command again"
        ) from None
