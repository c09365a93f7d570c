-- Which concepts did only one of the models learn?
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $top: integer = 20; how many concepts of each model
with known as (
    select
        model,
        concept,
        category,
        units,
        significant,
        count(*) over (partition by concept) as models
    from model_concepts
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
)

select
    model,
    concept,
    category,
    units,
    significant
from known
where models = 1
qualify row_number() over (partition by model order by units desc, significant desc, concept asc) <= $top::integer
order by model asc, units desc, significant desc, concept asc
