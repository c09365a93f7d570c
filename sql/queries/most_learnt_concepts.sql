-- Which concepts did most neurons of each model learn, over all its layers?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 20; how many concepts of each model
select
    model,
    concept,
    category,
    units,
    layers,
    significant,
    rank
from model_concepts
where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
qualify row_number() over (partition by model order by units desc, concept asc) <= $top::integer
order by model asc, units desc, concept asc
