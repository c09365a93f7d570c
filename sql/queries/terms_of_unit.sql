-- What does the label of one unit add up, and how much does each concept carry?
--   $model: text; name of the model
--   $layer: text; name of the layer
--   $unit: integer; number of the unit, from 0
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
select
    position,
    concept,
    category,
    operator,
    weight,
    share
from unit_terms
where
    setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    and model = $model
    and layer = $layer
    and unit = $unit::integer
order by position
