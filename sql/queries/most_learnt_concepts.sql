-- Which concepts did most neurons of each model learn, over all its layers?
--   $setting: integer = ; settings to count under, as numbered in the view scorings; the newest where not given
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
where setting = coalesce($setting::integer, (select max(setting) from scorings))
qualify row_number() over (partition by model order by units desc, concept asc) <= $top::integer
order by model asc, units desc, concept asc
