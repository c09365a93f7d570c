-- What was done to this file lately?
--   $top: integer = 5; how many runs
select
    run,
    started,
    status,
    images,
    failed_images,
    extract_seconds,
    load_seconds,
    score_seconds,
    device,
    command
from runs
order by run desc
limit $top::integer
