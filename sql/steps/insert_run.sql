-- A run that begins, or an import, which is written when it is over.
insert into store.runs (run_id, command, status, started_at, finished_at, device, versions, recipe)
values ($run_id, $command, $status, $started_at, $finished_at, $device, $versions, $recipe)
