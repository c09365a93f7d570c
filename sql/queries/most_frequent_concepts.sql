-- Which concepts are most frequent in each layer of each model?
-- Labels that hold count (see unit_labels); all of them where that is not known of any.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $all_labels: boolean = false; whether all labels count, not only those that hold
--   $top: integer = 10; how many concepts of each layer
with counts as (
    select
        scoring,
        model,
        layer,
        position,
        concept,
        category,
        case when $all_labels::boolean then units else coalesce(held, units) end as counted,
        units,
        significant,
        held,
        share,
        mean_similarity
    from concept_frequency
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
)

select
    model,
    layer,
    position,
    concept,
    category,
    counted,
    units,
    significant,
    held,
    share,
    rank() over (partition by scoring order by counted desc) as rank
from counts
qualify
    row_number() over (partition by scoring order by counted desc, units desc, mean_similarity desc, concept asc)
    <= $top::integer
order by model asc, position asc, counted desc, units desc, mean_similarity desc, concept asc
