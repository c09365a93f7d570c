-- Which concepts did most neurons of each model learn, over all its layers?
-- Labels that are better than chance count (q < 0.05); all of them where no q-value is known.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 20; how many concepts of each model
with counts as (
    select
        model,
        concept,
        category,
        coalesce(significant, units) as counted,
        units,
        layers,
        significant
    from model_concepts
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
)

select
    model,
    concept,
    category,
    counted,
    units,
    layers,
    significant,
    rank() over (partition by model order by counted desc) as rank
from counts
qualify row_number() over (partition by model order by counted desc, units desc, concept asc) <= $top::integer
order by model asc, counted desc, units desc, concept asc
