-- What was done to this file lately?
--   $top: integer = 5; how many runs
select
    run,
    started,
    status,
    images,
    failed_images,
    (select count(*) from store.scorings where scorings.run_id = runs.run) as scored_layers,
    extract_seconds,
    load_seconds,
    score_seconds,
    device,
    command
from runs
order by run desc
limit $top::integer
