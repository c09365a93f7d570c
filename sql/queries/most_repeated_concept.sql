-- Which one concept did the most neurons of each model learn, and how many?
-- Where several tie, the first five in alphabetical order, and how many more there are.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
with tied as (
    select
        model,
        list(concept order by concept) as concepts,
        any_value(units) as units
    from model_concepts
    where
        setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
        and rank = 1
    group by model
)

select
    model,
    array_to_string(concepts[:5], ', ')
    || case when len(concepts) > 5 then ' and ' || (len(concepts) - 5) || ' more' else '' end as concepts,
    units
from tied
order by model
