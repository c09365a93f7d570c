-- How a run ended, and how long each of its stages took.
update store.runs
set
    status = $status,
    finished_at = $finished_at,
    extract_seconds = $extract_seconds,
    load_seconds = $load_seconds,
    score_seconds = $score_seconds
where run_id = $run_id
