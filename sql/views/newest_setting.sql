-- One row per warehouse: the setting that is shown where none is chosen, that of the scoring made last.
-- `from unit_labels join newest_setting using (setting)` reads this setting alone.
--   setting: number of the setting; null where nothing was scored yet
select max_by(setting, scoring) as setting
from scorings
