-- One row per warehouse: the setting that is shown where none is chosen, that of the run made last.
-- `from unit_labels join newest_setting using (setting)` reads this setting alone.
--   setting: number of the setting; null where nothing was scored yet
select max_by(setting, (run, scoring)) as setting
from scorings
