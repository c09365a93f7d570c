-- One label a unit, in the columns of CLIP-Dissect's description files.
--   $model: text; name of the model
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    layer,
    unit,
    concept as description,
    similarity
from unit_labels
where
    setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and model = $model
order by position asc, unit asc
