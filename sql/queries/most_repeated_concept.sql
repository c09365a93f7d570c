-- Which one concept did the most neurons of each model learn, and how many?
-- Labels that hold count (see unit_labels); all of them where that is not known of any.
-- Where several tie, also in all labels, the first five in alphabetical order, and how many more there are.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $all_labels: boolean = false; whether all labels count, not only those that hold
with counts as (
    select
        model,
        concept,
        case when $all_labels::boolean then units else coalesce(held, units) end as counted,
        units
    from model_concepts
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
),

most as (
    select *
    from counts
    qualify rank() over (partition by model order by counted desc, units desc) = 1
),

tied as (
    select
        model,
        list(concept order by concept) as concepts,
        any_value(counted) as counted,
        any_value(units) as units
    from most
    group by model
)

select
    model,
    array_to_string(concepts[:5], ', ')
    || case when len(concepts) > 5 then ' and ' || (len(concepts) - 5) || ' more' else '' end as concepts,
    units,
    counted
from tied
order by model
