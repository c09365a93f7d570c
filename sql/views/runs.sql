-- One row per run: what was done to this file.
--   run: number of the run
--   started: date and time in UTC
--   finished: the same; null where the run was killed
--   status: running, finished, failed or interrupted
--   command: the command as it was typed
--   versions: versions of neuronlake and of the libraries that matter
--   recipe: every setting of the run
--   images: images that the run extracted
--   failed_images: images that could not be read; see failed_images
--   extract_seconds: decoding and forward passes
--   load_seconds: writing to this file, beside the extraction
--   score_seconds: similarities and labels
select
    run_id as run,
    make_timestamp(epoch_us(started_at)) as started,
    make_timestamp(epoch_us(finished_at)) as finished,
    status,
    command,
    device,
    versions,
    images,
    failed_images,
    extract_seconds,
    load_seconds,
    score_seconds,
    recipe
from store.runs
