-- Which concepts did most neurons of each model learn, over all its layers?
-- Labels that hold count (see unit_labels); all of them where that is not known of any.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $all_labels: boolean = false; whether all labels count, not only those that hold
--   $top: integer = 20; how many concepts of each model
with counts as (
    select
        model,
        concept,
        category,
        case when $all_labels::boolean then units else coalesce(held, units) end as counted,
        units,
        layers,
        significant,
        held
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
    held,
    rank() over (partition by model order by counted desc) as rank
from counts
qualify row_number() over (partition by model order by counted desc, units desc, concept asc) <= $top::integer
order by model asc, counted desc, units desc, concept asc
