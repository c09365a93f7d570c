-- How alike are the layers of two models: concepts that both have, as a share of all they have?
-- Labels that hold count (see unit_labels); all of them where that is not known of any.
--   $setting: integer = ; setting to count under: its number, or a method that only one has; the newest where not given
--   $all_labels: boolean = false; whether all labels count, not only those that hold
with pairs as (
    select
        *,
        held_shared is not null and not $all_labels::boolean as counts_held
    from layer_overlap
    where setting = coalesce($setting::integer, (select newest_setting.setting from newest_setting))
)

select
    model_a,
    layer_a,
    position_a,
    model_b,
    layer_b,
    position_b,
    case when counts_held then held_shared else shared end as shared,
    case when counts_held then held_only_a else only_a end as only_a,
    case when counts_held then held_only_b else only_b end as only_b,
    case when counts_held then held_jaccard else jaccard end as jaccard
from pairs
order by model_a asc, model_b asc, position_a asc, position_b asc
