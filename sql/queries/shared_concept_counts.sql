-- Which concepts did several models learn, and with how many units each?
-- Labels that hold count (see unit_labels); all of them where that is not known of any.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $all_labels: boolean = false; whether all labels count, not only those that hold
--   $top: integer = 25; how many concepts, those of most models first, then by the units of the model that has fewest
with counts as (
    select
        model,
        concept,
        category,
        case when $all_labels::boolean then units else coalesce(held, units) end as counted,
        units
    from model_concepts
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
),

learnt as (
    select
        *,
        count(*) over of_concept as models,
        min(counted) over of_concept as fewest,
        sum(counted) over of_concept as most
    from counts
    where counted > 0
    window of_concept as (partition by concept, category)
)

select
    dense_rank() over (order by models desc, fewest desc, most desc, concept asc, category asc) as place,
    concept,
    category,
    model,
    counted,
    units
from learnt
where models > 1
qualify place <= $top::integer
order by place asc, model asc
