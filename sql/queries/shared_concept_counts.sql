-- Which concepts did several models learn, and with how many units each?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 25; how many concepts, those of most models first, then by the units of the model that has fewest
with most_shared as (
    select
        setting,
        concept,
        category,
        row_number() over (order by models desc, fewest desc, units desc, concept asc) as place
    from shared_concepts
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
    qualify place <= $top::integer
)

select
    most_shared.place,
    most_shared.concept,
    most_shared.category,
    model_concepts.model,
    model_concepts.units
from most_shared
inner join model_concepts using (setting, concept)
order by most_shared.place asc, model_concepts.model asc
